// SPDX-License-Identifier: Apache-2.0
import type { FileObject } from '@open-nemo/contract/data-store/files.ts'
import type { Database, Migration } from '@open-nemo/runtime'

export const fileMigration: Migration = {
  id: 2,
  name: 'files of the OpenAI API',
  sql: `
    CREATE TABLE data_store.files (
      number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
      id text COLLATE "C" PRIMARY KEY,
      filename text NOT NULL,
      purpose text COLLATE "C" NOT NULL,
      bytes bigint NOT NULL,
      created_at integer NOT NULL
    )`,
}

export const fileExpiryMigration: Migration = {
  id: 3,
  name: 'files of the OpenAI API expire',
  sql: `
    ALTER TABLE data_store.files ADD COLUMN expires_at integer;
    CREATE INDEX files_by_expiry ON data_store.files (expires_at) WHERE expires_at IS NOT NULL`,
}

/** A file whose time is over is gone for everybody, also before its content is removed. */
const LIVES = '(expires_at IS NULL OR expires_at > extract(epoch FROM now()))'

const COLUMNS = `id, 'file' AS object, bytes::float8 AS bytes, created_at, expires_at, filename, purpose, 'processed' AS status`

export interface FileQuery {
  purpose: string | undefined
  /** Id of the last file of the page before. */
  after: string | undefined
  descending: boolean
  limit: number
}

/** What is known of the files of OpenAI's API beside their content. */
export class FileRows {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  async add(file: FileObject): Promise<void> {
    await this.#db.query(
      `INSERT INTO data_store.files (id, filename, purpose, bytes, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [file.id, file.filename, file.purpose, file.bytes, file.created_at, file.expires_at ?? null],
    )
  }

  async get(id: string): Promise<FileObject | undefined> {
    const [row] = await this.#db.query<FileObject>(
      `SELECT ${COLUMNS} FROM data_store.files WHERE id = $1 AND ${LIVES}`,
      [id],
    )
    return row
  }

  async remove(id: string): Promise<void> {
    await this.#db.query('DELETE FROM data_store.files WHERE id = $1', [id])
  }

  /** Ids of files whose time is over, the oldest first. */
  async expired(limit: number): Promise<string[]> {
    const rows = await this.#db.query<{ id: string }>(
      `SELECT id FROM data_store.files WHERE NOT ${LIVES} ORDER BY expires_at, id LIMIT $1`,
      [limit],
    )
    return rows.map((row) => row.id)
  }

  list({ purpose, after, descending, limit }: FileQuery): Promise<FileObject[]> {
    const order = descending ? 'DESC' : 'ASC'
    return this.#db.query<FileObject>(
      `SELECT ${COLUMNS} FROM data_store.files
       WHERE ${LIVES} AND ($1::text IS NULL OR purpose = $1)
         AND ($2::text IS NULL OR number ${descending ? '<' : '>'} (SELECT number FROM data_store.files WHERE id = $2))
       ORDER BY number ${order} LIMIT $3`,
      [purpose ?? null, after ?? null, limit],
    )
  }
}
