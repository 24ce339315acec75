// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const EXAMPLE = fileURLToPath(new URL('../examples/library.ts', import.meta.url))
const PIECES = ['Write ', 'to ', 'ada@', 'example.org', '.']

const server = createServer(async (request, response) => {
  let body = ''
  for await (const piece of request) body += piece
  if (!JSON.parse(body).stream) {
    const message = { role: 'assistant', content: PIECES.join('') }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] }))
    return
  }
  response.setHeader('content-type', 'text/event-stream')
  for (const content of PIECES)
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`)
  response.end('data: [DONE]\n\n')
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => server.close())

const run = async (content: string) => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLE, url, 'm', content])
  return stdout.trim().split('\n')
}

test('the example of the library answers, masks and blocks', async () => {
  const masked = 'Write to <EMAIL_ADDRESS>.'
  assert.deepEqual(await run('hello'), [`answered: ${masked}`, `streamed: ${masked}`])
  const refused = 'Let us stay with the shop.'
  assert.deepEqual(await run('our rival'), [`blocked by check words: ${refused}`, `streamed: ${refused}`])
})
