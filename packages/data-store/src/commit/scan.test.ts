// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '@open-nemo/contract'
import { scanCommit } from './scan.ts'

interface Seen {
  key: string
  value: unknown
  content: string | undefined
}

/** Scans a body cut into the given chunks, with a small limit so that both ways of parsing are taken. */
async function scan(chunks: Iterable<Uint8Array>, longLine = 60): Promise<Seen[]> {
  let text = ''
  const source = (async function* () {
    yield* chunks
  })()
  const receiver = {
    async begin() {
      text = ''
    },
    async text(piece: string) {
      text += piece
    },
  }
  const seen: Seen[] = []
  for await (const { key, value, streamed } of scanCommit(source, receiver, { longLine, maxString: 4096 })) {
    const { content, ...rest } = value
    const plain = JSON.parse(JSON.stringify(rest))
    seen.push({ key, value: plain, content: streamed ? text : (content as string | undefined) })
  }
  return seen
}

function* cut(body: string | Uint8Array, next: () => number): Generator<Uint8Array> {
  const bytes = Buffer.from(body)
  for (let at = 0; at < bytes.length; ) {
    const n = Math.max(1, next())
    yield bytes.subarray(at, at + n)
    at += n
  }
}

/** A small repeatable generator of numbers in [0, n). */
function random(seed: number) {
  let state = seed
  return (n: number) => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return state % n
  }
}

const expectation = (lines: { key: string; value: Record<string, unknown> }[]): Seen[] =>
  lines.map(({ key, value: { content, ...value } }) => ({
    key,
    value,
    content: content as string | undefined,
  }))

test('reads the same whatever the chunks, short lines and long ones', async () => {
  const lines = [
    { key: 'header', value: { summary: 'héllo "world" \\ \n', description: '' } },
    { key: 'file', value: { content: 'QUJD'.repeat(100), path: 'a/ü "q".bin', encoding: 'base64' } },
    { key: 'file', value: { path: 'x', extra: [1, [], {}, { a: [true, null, -1.5e3] }], content: 'QQ==' } },
    { key: 'file', value: { content: '', path: 'empty', encoding: 'base64' } },
    {
      key: 'file',
      value: { path: 'utf8', encoding: 'utf-8', content: `tab\t"quote" \\ 😀 é ${'z'.repeat(200)}` },
    },
    { key: 'deletedFolder', value: { path: 'old/' } },
  ]
  const body = lines.map((line) => JSON.stringify(line)).join('\n')
  for (let seed = 1; seed <= 150; seed++) {
    const next = random(seed)
    const width = 1 + next(seed % 3 === 0 ? 4 : 90)
    const end = seed % 2 ? '\n' : ''
    const seen = await scan(
      cut(body + end, () => next(width) + 1),
      1 + next(300),
    )
    assert.deepEqual(seen, expectation(lines), `seed ${seed}`)
  }
})

test('escapes inside a long content are undone, and spaces around tokens are fine', async () => {
  const body =
    '{ "key" : "file" , "value" : { "content" : "Q\\u0055JD\\/\\n\\ud83d\\ude00x" , "path" : "p" } }\n\n'
  for (let size = 1; size < 12; size++) {
    const [line] = await scan(
      cut(body, () => size),
      10,
    )
    assert.equal(line?.content, 'QUJD/\n😀x')
  }
})

test('broken bodies are refused with the number of the line', async () => {
  const good = '{"key":"header","value":{"summary":"s"}}\n'
  const long = (text: string) => `${good}{"key":"file","value":{"content":"${'A'.repeat(100)}${text}`
  const cases: [string, RegExp][] = [
    [`${good}{"key":`, /line 2/],
    [`${good}[1]`, /not an object/],
    [`${good}{"value":{}}`, /lacks its "key"/],
    [`${good}{"key":"file","value":3}`, /is not an object/],
    [long(''), /ends inside/],
    [long('"'), /ends inside/],
    [long('"}} x'), /something follows/],
    [long('\n"}}'), /line break inside/],
    [long('\\x"}}'), /malformed escape/],
    [long('","content":"QUJD"}}'), /two contents/],
    [long('","a":tru}}'), /is not JSON/],
    [long('" "b":1}}'), /comma is missing/],
    [long(`","path":"${'p'.repeat(5000)}"}}`), /string is longer/],
    [long(`","x":${'['.repeat(50)}`), /nested too deeply/],
    [`${good}{"key":"file","value":{"path":"${' '.repeat(100)}\u0001"}}`, /malformed/],
  ]
  for (const [body, message] of cases) {
    await assert.rejects(
      scan(cut(body, () => 7)),
      (err) => err instanceof ApiError && err.status === 400 && message.test(err.message),
      body.slice(0, 300),
    )
  }
  const bad = Buffer.concat([Buffer.from('{"key":"'), Buffer.from([0xff]), Buffer.from('"}\n')])
  await assert.rejects(scan(cut(bad, () => 5)), /UTF-8|not valid/)
})

test('random damage never hangs and never throws anything but a refusal', async () => {
  const body = [
    '{"key":"header","value":{"summary":"s"}}',
    `{"key":"file","value":{"content":"${'QUJD'.repeat(60)}","path":"p","encoding":"base64"}}`,
  ].join('\n')
  for (let seed = 1; seed <= 400; seed++) {
    const next = random(seed)
    const bytes = Buffer.from(body)
    for (let i = 0; i <= next(4); i++) bytes[next(bytes.length)] = next(256)
    const part = bytes.subarray(0, next(5) ? bytes.length : next(bytes.length))
    await scan(cut(part, () => 1 + next(40))).catch((err) =>
      assert.ok(err instanceof ApiError, `seed ${seed}: ${err}`),
    )
  }
})

test('a long line is never held as a whole', async () => {
  const piece = Buffer.from('QUJD'.repeat(16 * 1024))
  let total = 0
  let largest = 0
  const source = (async function* () {
    yield Buffer.from('{"key":"file","value":{"content":"')
    for (let i = 0; i < 2000; i++) yield piece
    yield Buffer.from('","path":"p"}}\n')
  })()
  const receiver = {
    async begin() {},
    async text(text: string) {
      total += text.length
      largest = Math.max(largest, text.length)
    },
  }
  for await (const line of scanCommit(source, receiver, {})) assert.equal(line.value.path, 'p')
  assert.equal(total, 2000 * piece.length)
  assert.ok(largest < 1_000_000, `${largest}`)
})
