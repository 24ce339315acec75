// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { operationUrl } from './client.ts'
import { ModelError, refusalText } from './errors.ts'
import { eventData } from './sse.ts'

const streamOf = (pieces: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece)
      controller.close()
    },
  })

async function read(pieces: Uint8Array[]): Promise<string[]> {
  const out: string[] = []
  for await (const data of eventData(streamOf(pieces))) out.push(data)
  return out
}

test('events come whole however their bytes are cut', async () => {
  const events = ['{"a":"ü€𝄞"}', '{"b":"line"}', '{"c":1}']
  for (const end of ['\n', '\r\n']) {
    const bytes = new TextEncoder().encode(
      `: hello${end}${events.map((e) => `data: ${e}${end}${end}`).join('')}data: [DONE]${end}${end}data: late`,
    )
    for (let i = 0; i < 200; i++) {
      const pieces: Uint8Array[] = []
      for (let at = 0; at < bytes.length; ) {
        const next = at + 1 + Math.floor(Math.random() * 9)
        pieces.push(bytes.subarray(at, next))
        at = next
      }
      assert.deepEqual(await read(pieces), events)
    }
  }
})

test('base URLs with and without /v1, and with the whole path', () => {
  const url = (base: string) => operationUrl(base, '/chat/completions')
  assert.equal(url('http://x'), 'http://x/v1/chat/completions')
  assert.equal(url('http://x/v1'), 'http://x/v1/chat/completions')
  assert.equal(url('http://x/v1/chat/completions'), 'http://x/v1/chat/completions')
  assert.equal(operationUrl('http://x/v1/chat/completions', '/completions'), 'http://x/v1/completions')
  assert.equal(url('http://x/deep/api'), 'http://x/deep/api/chat/completions')
})

test('failures of a model as errors of the API, in the words of its server', () => {
  const of = (status?: number) =>
    new ModelError({ model: 'm', reason: 'r', ...(status ? { status } : {}) }).toApiError().status
  assert.deepEqual(
    [401, 403, 404, 429, 503, 422, 500, undefined].map(of),
    [401, 401, 404, 503, 503, 400, 502, 502],
  )
  assert.equal(refusalText(400, '{"error":{"message":"too long"}}'), 'status 400: too long')
  assert.equal(refusalText(500, '<html>'), 'status 500: <html>')
})
