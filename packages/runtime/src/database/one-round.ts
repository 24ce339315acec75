// SPDX-License-Identifier: Apache-2.0
import { type PGlite, parse, protocol } from '@electric-sql/pglite'

/** What is needed of PGlite: its protocol, and how it reads values. */
export type Wire = Pick<PGlite, 'execProtocol' | 'parsers'>

const { serialize } = protocol

/**
 * Runs one statement on the embedded PostgreSQL in one round of its protocol. PGlite's own `query` enters
 * the WebAssembly five times (parse, describe, bind, execute, sync); this sends all of it at once, about
 * twice as fast. Parameters are written as the `pg` driver writes them, so both databases are told the same.
 * The caller keeps others out: nothing else may run at the same time, or between the statements of a transaction.
 */
export async function runInOneRound<R>(pg: Wire, text: string, params: readonly unknown[]): Promise<R[]> {
  const message = concat([
    serialize.parse({ text }),
    serialize.bind({ values: params.map(toParameter) }),
    serialize.describe({ type: 'P' }),
    serialize.execute({}),
    serialize.sync(),
  ])
  const { messages } = await pg.execProtocol(message)
  return (parse.parseResults(messages, pg.parsers)[0]?.rows ?? []) as R[]
}

/** A parameter in PostgreSQL's text form, or bytes as they are. */
function toParameter(value: unknown): string | Uint8Array | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return value
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `{${value.map(toElement).join(',')}}`
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function toElement(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(toElement).join(',')}}`
  const text = toParameter(value)
  if (text === null) return 'NULL'
  if (typeof text !== 'string') return `"\\\\x${Buffer.from(text).toString('hex')}"`
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

function concat(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
