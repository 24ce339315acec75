// SPDX-License-Identifier: Apache-2.0
import type { Row, Sample } from '../types.ts'

/** Rows with their numbers. */
export async function* numbered(rows: AsyncIterable<Row>): AsyncGenerator<Sample> {
  let index = 0
  for await (const item of rows) yield { index: index++, item }
}

/** Rows of a dataset, each with the recorded output of the same number; ends with the shorter one. */
export async function* zipped(
  rows: AsyncIterable<Row>,
  recorded: AsyncIterable<Row>,
): AsyncGenerator<Sample> {
  const others = recorded[Symbol.asyncIterator]()
  let index = 0
  try {
    for await (const row of rows) {
      const other = await others.next()
      if (other.done) return
      yield { index: index++, item: row, recorded: other.value }
    }
  } finally {
    await others.return?.()
  }
}
