// SPDX-License-Identifier: Apache-2.0
import { nowSeconds } from '@open-nemo/contract'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import type { DataStoreNamespace } from '@open-nemo/contract/data-store/schemas.ts'
import { type Database, isUniqueViolation, type Migration } from '@open-nemo/runtime'
import { fileExpiryMigration, fileMigration } from './file-rows.ts'
import { fold } from './paths.ts'

export const migrations: Migration[] = [
  {
    id: 1,
    name: 'namespaces and repositories',
    sql: `
      CREATE TABLE data_store.namespaces (
        name text COLLATE "C" PRIMARY KEY,
        folded text COLLATE "C" NOT NULL UNIQUE,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL
      );
      CREATE TABLE data_store.repos (
        id text COLLATE "C" PRIMARY KEY,
        type text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL REFERENCES data_store.namespaces (name),
        name text COLLATE "C" NOT NULL,
        folded text COLLATE "C" NOT NULL,
        private boolean NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL,
        UNIQUE (type, folded)
      );
      CREATE INDEX repos_by_name ON data_store.repos (type, namespace, name);
      CREATE INDEX repos_by_update ON data_store.repos (type, updated_at DESC, id)`,
  },
  fileMigration,
  fileExpiryMigration,
]

export interface RepoRow {
  id: string
  type: RepoType
  namespace: string
  name: string
  private: boolean
  created_at: string
  updated_at: string
}

export interface RepoQuery {
  type: RepoType
  author?: string | undefined
  search?: string | undefined
  sort: 'created_at' | 'updated_at'
  descending: boolean
  limit: number
  offset: number
}

const COLUMNS = 'id, type, namespace, name, private, created_at, updated_at'

/** The rows of namespaces and repositories; everything inside a repository is in its git folder. */
export class Rows {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** False when the name, or one that differs only in case, is taken. */
  async addNamespace(name: string): Promise<DataStoreNamespace | undefined> {
    const now = nowSeconds()
    const added = await this.#db.query<{ name: string }>(
      `INSERT INTO data_store.namespaces (name, folded, created_at, updated_at)
       VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING RETURNING name`,
      [name, fold(name), now],
    )
    return added.length ? { namespace: name, created_at: now, updated_at: now } : undefined
  }

  async namespace(name: string): Promise<DataStoreNamespace | undefined> {
    const [row] = await this.#db.query<DataStoreNamespace>(
      'SELECT name AS namespace, created_at, updated_at FROM data_store.namespaces WHERE name = $1',
      [name],
    )
    return row
  }

  namespaces(): Promise<DataStoreNamespace[]> {
    return this.#db.query<DataStoreNamespace>(
      'SELECT name AS namespace, created_at, updated_at FROM data_store.namespaces ORDER BY name',
    )
  }

  /** The number of repositories that keep it from going, 0 when it went, undefined when there is none. */
  async removeNamespace(name: string): Promise<number | undefined> {
    return this.#db.transaction(async (tx) => {
      const [known] = await tx.query('SELECT name FROM data_store.namespaces WHERE name = $1 FOR UPDATE', [
        name,
      ])
      if (!known) return undefined
      const [row] = await tx.query<{ n: number }>(
        'SELECT count(*)::int4 AS n FROM data_store.repos WHERE namespace = $1',
        [name],
      )
      if (row?.n) return row.n
      await tx.query('DELETE FROM data_store.namespaces WHERE name = $1', [name])
      return 0
    })
  }

  /** False when the name, or one that differs only in case, is taken. */
  async addRepo(row: RepoRow): Promise<boolean> {
    const added = await this.#db.query(
      `INSERT INTO data_store.repos (id, type, namespace, name, folded, private, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id`,
      [
        row.id,
        row.type,
        row.namespace,
        row.name,
        fold(`${row.namespace}/${row.name}`),
        row.private,
        row.created_at,
        row.updated_at,
      ],
    )
    return added.length > 0
  }

  async repo(type: RepoType, namespace: string, name: string): Promise<RepoRow | undefined> {
    const [row] = await this.#db.query<RepoRow>(
      `SELECT ${COLUMNS} FROM data_store.repos WHERE type = $1 AND namespace = $2 AND name = $3`,
      [type, namespace, name],
    )
    return row
  }

  /** The spelling under which a name, or one that differs only in case, is taken. */
  async takenBy(type: RepoType, id: string): Promise<string | undefined> {
    const [row] = await this.#db.query<{ id: string }>(
      `SELECT namespace || '/' || name AS id FROM data_store.repos WHERE type = $1 AND folded = $2`,
      [type, fold(id)],
    )
    return row?.id
  }

  all(): Promise<RepoRow[]> {
    return this.#db.query<RepoRow>(`SELECT ${COLUMNS} FROM data_store.repos ORDER BY id`)
  }

  async repoIds(): Promise<string[]> {
    return (await this.#db.query<{ id: string }>('SELECT id FROM data_store.repos')).map((row) => row.id)
  }

  async removeRepo(id: string): Promise<void> {
    await this.#db.query('DELETE FROM data_store.repos WHERE id = $1', [id])
  }

  async touchRepo(id: string): Promise<void> {
    await this.#db.query('UPDATE data_store.repos SET updated_at = $2 WHERE id = $1', [id, nowSeconds()])
  }

  async setPrivate(id: string, value: boolean): Promise<void> {
    await this.#db.query('UPDATE data_store.repos SET private = $2 WHERE id = $1', [id, value])
  }

  /** False when the new name is taken. */
  async renameRepo(id: string, namespace: string, name: string): Promise<boolean> {
    try {
      await this.#db.query(
        'UPDATE data_store.repos SET namespace = $2, name = $3, folded = $4, updated_at = $5 WHERE id = $1',
        [id, namespace, name, fold(`${namespace}/${name}`), nowSeconds()],
      )
      return true
    } catch (err) {
      if (isUniqueViolation(err)) return false
      throw err
    }
  }

  list(query: RepoQuery): Promise<RepoRow[]> {
    const direction = query.descending ? 'DESC' : 'ASC'
    const like = query.search ? `%${query.search.replace(/[\\%_]/g, '\\$&')}%` : null
    return this.#db.query<RepoRow>(
      `SELECT ${COLUMNS} FROM data_store.repos
       WHERE type = $1 AND ($2::text IS NULL OR namespace = $2)
         AND ($3::text IS NULL OR (namespace || '/' || name) ILIKE $3)
       ORDER BY ${query.sort} ${direction}, id ${direction} LIMIT $4 OFFSET $5`,
      [query.type, query.author ?? null, like, query.limit, query.offset],
    )
  }
}
