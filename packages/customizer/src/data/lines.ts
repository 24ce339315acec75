// SPDX-License-Identifier: Apache-2.0
/** Training data that cannot be used; the message names file and line. */
export class DataError extends Error {
  constructor(where: string, problem: string) {
    super(`${where}: ${problem}`)
    this.name = 'DataError'
  }
}

const NEWLINE = 10
const MAX_LINE_BYTES = 64 * 1024 * 1024

/**
 * Checks a JSONL file while it streams through, one line in memory at a time; `problemOf` says what is wrong with a
 * row, `flush` tells the number of rows.
 * Throws DataError at the first bad line, and for a file without rows.
 */
export function createLineChecker(path: string, problemOf: (row: unknown) => string | undefined) {
  // A byte order mark of UTF-8 is harmless: the decoder takes it away.
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest: Uint8Array[] = []
  let restBytes = 0
  let line = 0
  let rows = 0

  function check(bytes: Uint8Array): void {
    line += 1
    const where = `${path}, line ${line}`
    if (line === 1) refuseOtherEncodings(path, bytes)
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch {
      throw new DataError(where, 'the line is not UTF-8: save the file with UTF-8 encoding')
    }
    if (text.trim() === '') return
    let row: unknown
    try {
      row = JSON.parse(text)
    } catch (err) {
      throw new DataError(where, `the line is not JSON: ${err instanceof Error ? err.message : err}`)
    }
    const problem = problemOf(row)
    if (problem) throw new DataError(where, problem)
    rows += 1
  }

  return {
    write(chunk: Uint8Array): void {
      let start = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        const piece = chunk.subarray(start, end)
        check(restBytes > 0 ? Buffer.concat([...rest, piece]) : piece)
        rest = []
        restBytes = 0
        start = end + 1
      }
      if (start === chunk.length) return
      rest.push(chunk.slice(start))
      restBytes += chunk.length - start
      if (restBytes > MAX_LINE_BYTES) {
        throw new DataError(`${path}, line ${line + 1}`, 'the line is longer than 64 MiB')
      }
    },
    flush(): number {
      if (restBytes > 0) check(Buffer.concat(rest))
      if (rows === 0) throw new DataError(path, 'the file has no rows')
      return rows
    },
  }
}

function refuseOtherEncodings(path: string, bytes: Uint8Array): void {
  const [a, b] = bytes
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) {
    throw new DataError(path, 'the file is UTF-16: save it with UTF-8 encoding')
  }
  if (a === 0x1f && b === 0x8b)
    throw new DataError(path, 'the file is compressed with gzip: upload it unpacked')
}
