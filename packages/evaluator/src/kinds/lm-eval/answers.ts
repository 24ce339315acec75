// SPDX-License-Identifier: Apache-2.0
import { open, stat, writeFile } from 'node:fs/promises'
import type { Kept } from '../../runner/kept.ts'

const PAUSE_MS = 1000

/** Follows the file of answers that the program writes, so that a run goes on where no work folder was left. */
export interface AnswerKeeper {
  /** Answers so far. */
  count(): number
  /** Keeps what has come until now and ends. */
  stop(): Promise<void>
}

/** Writes the kept answers into `path` unless they are there, and keeps from then on what is added to it. */
export async function keepAnswers(path: string, key: string, kept: Kept): Promise<AnswerKeeper> {
  const isHere = await stat(path).catch(() => undefined)
  if (!isHere) {
    await writeFile(path, '')
    for await (const text of kept.read(key)) await writeFile(path, text, { flag: 'a' })
  }
  let offset = 0
  let count = 0
  let rest = Buffer.alloc(0)
  const read = async (isKept: boolean) => {
    const file = await open(path)
    try {
      const { size } = await file.stat()
      const bytes = Buffer.alloc(size - offset)
      await file.read(bytes, 0, bytes.length, offset)
      offset = size
      const all = Buffer.concat([rest, bytes])
      const end = all.lastIndexOf(10) + 1
      rest = all.subarray(end)
      const lines = all.subarray(0, end)
      count += lines.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0)
      if (isKept && lines.length > 0) await kept.add(key, lines.toString('utf8'))
    } finally {
      await file.close()
    }
  }
  // What an earlier process on this disk got: most of it is kept already, and adding it again does no harm.
  await read(Boolean(isHere))
  let reading: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    reading = reading.then(() => read(true)).catch(() => undefined)
  }, PAUSE_MS)
  return {
    count: () => count,
    async stop() {
      clearInterval(timer)
      await reading
      await read(true)
    },
  }
}
