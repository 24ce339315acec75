// SPDX-License-Identifier: Apache-2.0
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionEvent } from './types.ts'

const CHUNK = 256 * 1024
const NEWLINE = 10

/**
 * Reads a log of JSON lines while it grows, in batches. Half lines are left until they are whole; lines that are no
 * JSON object (cut short by a kill) are passed over. Ends once `isOver` says so and the rest is read.
 */
export async function* tailEvents(args: {
  path: string
  offset: number
  isOver: () => boolean
  pollMs: number
  signal?: AbortSignal
}): AsyncGenerator<ExecutionEvent[], void> {
  let offset = args.offset
  for (;;) {
    if (args.signal?.aborted) return
    // Asked before reading: what was written before the end is read after it.
    const isOver = args.isOver()
    for (;;) {
      const { events, next } = await readEvents(args.path, offset)
      if (next === offset) break
      offset = next
      if (events.length > 0) yield events
    }
    if (isOver) return
    await sleep(args.pollMs, undefined, args.signal ? { signal: args.signal } : {}).catch(() => undefined)
  }
}

/** The whole lines from `offset` on, at most one chunk (a longer line is read whole). */
async function readEvents(path: string, offset: number): Promise<{ events: ExecutionEvent[]; next: number }> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return { events: [], next: offset }
  try {
    for (let size = CHUNK; ; size *= 2) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, offset)
      const bytes = buffer.subarray(0, bytesRead)
      const end = bytes.lastIndexOf(NEWLINE) + 1
      if (end > 0 || bytesRead < size)
        return { events: parseLines(bytes.subarray(0, end), offset), next: offset + end }
    }
  } finally {
    await file.close()
  }
}

function parseLines(bytes: Buffer, offset: number): ExecutionEvent[] {
  const events: ExecutionEvent[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, at) + 1
    const value = parseObject(bytes.toString('utf8', at, end))
    if (value) events.push({ value, offset: offset + end })
    at = end
  }
  return events
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
