// SPDX-License-Identifier: Apache-2.0
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'

/** The network's words for a server that is not there. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
])
/** PostgreSQL's: it stops, has crashed, is starting, or has no connection left; class 08 is the connection itself. */
const SQLSTATE = /^(57P0[1-3]|53300|08...)$/
/** The driver's, which have no code. */
const DRIVER =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/

/** Whether an error says that the server, or the way to it, is gone for now; not one of these is the query's fault. */
export function isLost(err: unknown): boolean {
  if (!(err instanceof Error)) return false
  const code = 'code' in err ? String(err.code) : ''
  if (NETWORK.has(code) || SQLSTATE.test(code) || DRIVER.test(err.message)) return true
  return err instanceof AggregateError && err.errors.length > 0 && err.errors.every(isLost)
}

/** The 503 that clients repeat their request after. */
export function unavailable(cause: unknown) {
  return platformErrors.DATABASE_UNAVAILABLE({}, { cause }).with({ 'retry-after': '2' })
}
