// SPDX-License-Identifier: Apache-2.0
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { unavailable } from '../lost.ts'
import type { Database, Queryable } from '../types.ts'
import type { Life } from './life.ts'
import { OPENING_BYTES, type Reserve } from './reserve.ts'

export interface EmbeddedOptions {
  /** Opens the database, again after a crash. */
  open: () => Promise<Life>
  /** Where it is; one in memory has no disk. */
  disk?: { dir: string; reserve: Reserve } | undefined
  log?: Logger | undefined
}

/** Statements that may run while the disk is full: they add nothing, or make room. */
const ADDS_NOTHING = /^\s*(SELECT|SHOW|DELETE)\b/i
/** The disk is looked at so often while it is full. */
const LOOK_MS = 500

/**
 * The embedded PostgreSQL: one connection, whose users take turns. When it crashes, whoever waited is served by the next
 * life, which has every transaction that was acknowledged. On a full disk that life begins with the room of the reserve;
 * until there is room for another reserve, it only reads and deletes.
 */
export class EmbeddedDatabase implements Database {
  readonly kind = 'embedded'
  readonly #options: EmbeddedOptions
  #life: Life
  #turn: Promise<unknown> = Promise.resolve()
  #isClosed = false
  /** The reserve was given up and could not be made again. */
  #isFull = false
  #looked = 0

  constructor(life: Life, options: EmbeddedOptions) {
    this.#life = life
    this.#options = options
  }

  query<R = Record<string, unknown>>(text: string, params: unknown[] = []): Promise<R[]> {
    return this.#inTurn((life) => this.#run(text, () => life.query<R>(text, params)))
  }

  exec(text: string): Promise<void> {
    return this.#inTurn((life) => this.#run(text, () => life.exec(text)))
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.#inTurn(async (life) => {
      let isOver = false
      const step = <R>(text: string, run: () => Promise<R>): Promise<R> => {
        if (isOver) throw new Error('the transaction has ended')
        return this.#run(text, run)
      }
      const tx: Queryable = {
        query: async <R>(text: string, params: unknown[] = []) =>
          await step(text, () => life.query<R>(text, params)),
        exec: async (text) => await step(text, () => life.exec(text)),
      }
      await this.#told(() => life.exec('BEGIN'))
      try {
        const result = await work(tx)
        isOver = true
        await this.#told(() => life.exec('COMMIT'))
        return result
      } catch (err) {
        isOver = true
        if (!life.crash) await life.exec('ROLLBACK')
        throw err
      }
    })
  }

  close(): Promise<void> {
    const ended = this.#turn.then(async () => {
      this.#isClosed = true
      await this.#life.end()
    })
    this.#turn = ended.catch(() => {})
    return ended
  }

  /** Runs work alone, on a life that has not crashed. */
  #inTurn<T>(work: (life: Life) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(async () => await work(await this.#alive()))
    this.#turn = mine.catch(() => {})
    return mine
  }

  async #run<T>(text: string, run: () => Promise<T>): Promise<T> {
    if (this.#isFull && !ADDS_NOTHING.test(text)) await this.#lookForRoom()
    return await this.#told(run)
  }

  /** Says by our own errors what went wrong with the disk, or with the whole database. */
  async #told<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (err) {
      const { disk } = this.#options
      const { crash } = this.#life
      const isFull =
        (err as { code?: unknown }).code === '53100' ||
        (crash && disk && (await disk.reserve.free()) < OPENING_BYTES)
      if (disk && isFull) throw await this.#noRoom(err)
      throw crash ? unavailable(err) : err
    }
  }

  async #alive(): Promise<Life> {
    if (this.#isClosed) throw new Error('the database is closed')
    const { crash } = this.#life
    if (!crash) return this.#life
    const { disk, log, open } = this.#options
    if (disk) {
      if ((await disk.reserve.free()) < OPENING_BYTES) {
        await disk.reserve.giveUp()
        this.#isFull = true
      }
      const free = await disk.reserve.free()
      // It would crash again, on its way up.
      if (free < OPENING_BYTES) throw stopped(disk.dir, free, crash)
    }
    log?.warn({ err: crash, isFull: this.#isFull }, 'the embedded database crashed; it is opened again')
    await this.#life.end()
    try {
      this.#life = await open()
    } catch (err) {
      throw unavailable(err)
    }
    log?.info('the embedded database is open again')
    return this.#life
  }

  /** Returns once there is room for another reserve. Throws DISK_FULL when there is not. */
  async #lookForRoom(): Promise<void> {
    const { disk, log } = this.#options
    if (!disk) return
    const now = performance.now()
    if (now - this.#looked < LOOK_MS) throw await this.#noRoom()
    this.#looked = now
    if (!(await disk.reserve.make())) throw await this.#noRoom()
    this.#isFull = false
    log?.info('there is room on the disk again: the embedded database takes writes')
  }

  async #noRoom(cause?: unknown): Promise<Error> {
    const { dir = '', reserve } = this.#options.disk ?? {}
    const free = Math.floor(((await reserve?.free()) ?? 0) / 1e6)
    return platformErrors.DISK_FULL({ dir, free }, { cause }).with({ 'x-should-retry': 'false' })
  }
}

/** Why a database that is on a full disk is not open. */
function stopped(dir: string, free: number, cause?: unknown): Error {
  const mb = (bytes: number) => Math.floor(bytes / 1e6)
  const facts = { dir, free: mb(free), needed: mb(OPENING_BYTES) }
  return platformErrors.DATABASE_STOPPED(facts, { cause }).with({ 'retry-after': '5' })
}
