// SPDX-License-Identifier: Apache-2.0
import { PGlite, protocol } from '@electric-sql/pglite'
import { runInOneRound, type Wire } from '../one-round.ts'

/** What PostgreSQL leaves a statement by after an error; PGlite goes on from there. Anything else is its end. */
const POSTGRES_MAIN_LONGJMP = 100

/** PGlite's WebAssembly module, as far as it is looked into here. */
interface Module {
  _PostgresMainLoopOnce(): unknown
  stackRestore(to: number): void
  FS: { streams: (object | null | undefined)[]; close(stream: object): void }
}

/**
 * One life of the embedded PostgreSQL, from its opening to its closing or its crash. It crashes as a server does: by a
 * PANIC, when there is no room for its log, say. PGlite would then call into what is left of it for ever, without
 * giving the thread back; so after a crash nothing calls it any more, and another life takes its place.
 */
export class Life {
  /** Why it crashed. */
  crash: Error | undefined
  readonly #pg: PGlite
  readonly #wire: Wire
  readonly #module: Module

  private constructor(pg: PGlite) {
    this.#pg = pg
    this.#module = pg.Module as unknown as Module
    this.#wire = { parsers: pg.parsers, execProtocol: (message) => this.#send(message) }
    this.#listen()
  }

  /** Opens the database in `dir`, or one in memory. What an earlier life had not written yet, it takes from its log. */
  static async begin(dir?: string): Promise<Life> {
    return new Life(dir === undefined ? await PGlite.create() : await PGlite.create(dir))
  }

  /** Runs one statement. The caller keeps others out. */
  query<R>(text: string, params: readonly unknown[]): Promise<R[]> {
    return runInOneRound<R>(this.#wire, text, params)
  }

  /** Runs statements without parameters. The caller keeps others out. */
  async exec(text: string): Promise<void> {
    await this.#wire.execProtocol(protocol.serialize.query(text))
  }

  /** Ends it in order; after a crash it only lets go of its files. */
  async end(): Promise<void> {
    if (!this.crash) return await this.#pg.close()
    const { FS } = this.#module
    for (const stream of FS.streams) {
      try {
        if (stream) FS.close(stream)
      } catch {
        // A stream that has no file.
      }
    }
  }

  async #send(message: Uint8Array): ReturnType<PGlite['execProtocol']> {
    if (this.crash) throw this.crash
    try {
      return await this.#pg.execProtocol(message)
    } catch (err) {
      const severity = err instanceof Error && 'severity' in err ? err.severity : undefined
      // What has no severity is no word of PostgreSQL's: the module itself broke.
      if (severity !== 'ERROR') this.crash ??= err as Error
      throw this.crash ?? err
    }
  }

  /** Takes note of a crash in the middle of a message, and leads out of PGlite's loop over the rest of it. */
  #listen(): void {
    const module = this.#module
    const once = module._PostgresMainLoopOnce
    const restore = module.stackRestore
    module._PostgresMainLoopOnce = () => {
      try {
        return once()
      } catch (err) {
        if ((err as { status?: unknown }).status !== POSTGRES_MAIN_LONGJMP) this.crash ??= err as Error
        throw err
      }
    }
    // PGlite calls this after whatever a round threw, outside of what it catches.
    module.stackRestore = (to) => {
      if (this.crash) throw this.crash
      restore(to)
    }
  }
}
