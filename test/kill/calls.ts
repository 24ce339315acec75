// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'

/** Answers longer than this count as not given. */
const TIMEOUT_MS = 20_000

/** A call that was not acknowledged: refused, or broken off by a kill. */
export class NotAcknowledged extends Error {}

/** A call's body when it was acknowledged; throws NotAcknowledged otherwise. */
export async function acknowledged(url: string, init: RequestInit = {}): Promise<string> {
  let response: Response
  let text: string
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
    text = await response.text()
  } catch (err) {
    throw new NotAcknowledged(`${url}: ${err}`)
  }
  if (!response.ok) throw new NotAcknowledged(`${url}: ${response.status} ${text.slice(0, 300)}`)
  return text
}

/** The same for a JSON body and a JSON answer. */
export async function post<T>(url: string, body: unknown): Promise<T> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  return JSON.parse(await acknowledged(url, init)) as T
}

/** Reads for a check: undefined where it is not there; throws when nothing sensible answers. */
export async function read(url: string): Promise<string | undefined> {
  // What is being loaded again answers 503 for a moment.
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const text = await response.text()
    if (response.ok) return text
    if (response.status === 404) return undefined
    if (attempt === 5) throw new Error(`${url}: ${response.status} ${text.slice(0, 300)}`)
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

export async function readObject(url: string): Promise<Record<string, unknown> | undefined> {
  const text = await read(url)
  return text === undefined ? undefined : JSON.parse(text)
}

export const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')

/** What differs between a text and what it should be, for people. */
export function unlike(found: string | undefined, expected: string): string | undefined {
  if (found === undefined) return 'it is gone'
  if (found === expected) return undefined
  return `it has ${found.length} characters that begin with ${JSON.stringify(found.slice(0, 60))}, not ${JSON.stringify(expected.slice(0, 60))}`
}
