// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../kinds/types.ts'

const MAX_FIELD = 16 * 1024 * 1024

/** Rows of a CSV file (RFC 4180), or of a TSV file, whose first record names the columns; values are texts. */
export async function* parseCsv(path: string, texts: AsyncIterable<string>): AsyncGenerator<Row> {
  let header: string[] | undefined
  let number = 0
  for await (const record of records(path, texts)) {
    number++
    if (!header) {
      header = record.map((name) => name.trim())
      continue
    }
    if (record.length === 1 && record[0] === '') continue
    if (record.length > header.length) {
      throw new Error(
        `${path}: record ${number} has ${record.length} fields, and the header has ${header.length}`,
      )
    }
    yield Object.fromEntries(header.map((name, i) => [name, record[i] ?? '']))
  }
}

async function* records(path: string, texts: AsyncIterable<string>): AsyncGenerator<string[]> {
  const reader = createReader(path)
  for await (const text of texts) yield* reader.read(text)
  yield* reader.end()
}

/** Takes a CSV text apart, piece by piece; a piece may end anywhere. */
function createReader(path: string) {
  // A TSV file has no quoting: a quote is a character like any other.
  const isTabbed = /\.tsv$/i.test(path)
  const separator = isTabbed ? '\t' : ','
  let field = ''
  let record: string[] = []
  let state: 'plain' | 'quoted' | 'closing' = 'plain'
  let isBegun = false
  const endField = () => {
    record.push(field)
    field = ''
  }
  const endRecord = (): string[] => {
    if (field.endsWith('\r')) field = field.slice(0, -1)
    endField()
    const whole = record
    record = []
    isBegun = false
    return whole
  }
  /** Inside quotes, a quote ends them, unless another follows. Tells whether the character is done with. */
  const readQuoted = (char: string): boolean => {
    if (state === 'closing') {
      state = char === '"' ? 'quoted' : 'plain'
      if (state === 'quoted') field += char
      return state === 'quoted'
    }
    if (state !== 'quoted') return false
    if (char === '"') state = 'closing'
    else field += char
    return true
  }
  return {
    *read(text: string): Generator<string[]> {
      for (const char of text) {
        if (readQuoted(char)) continue
        if (char === '\n') {
          yield endRecord()
          continue
        }
        isBegun = true
        if (char === '"' && field === '' && !isTabbed) state = 'quoted'
        else if (char === separator) endField()
        else field += char
      }
      if (field.length > MAX_FIELD) {
        throw new Error(`${path}: a field is longer than 16 Mi characters; is a quote missing?`)
      }
    },
    *end(): Generator<string[]> {
      if (state === 'quoted') throw new Error(`${path}: the last quoted field has no end`)
      if (isBegun) yield endRecord()
    },
  }
}
