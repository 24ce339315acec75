// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metered } from '../runner/meter.ts'
import { type ClientOptions, createModelClient, operationUrl } from './client.ts'

function client(replies: (() => Response | Promise<Response>)[], change: Partial<ClientOptions> = {}) {
  const sent: { url: string; init: RequestInit }[] = []
  const logged: string[] = []
  const made = createModelClient(
    { url: 'http://user:hidden-pw@m.example/v1/chat/completions', modelId: 'm', apiKey: 'sk-secret' },
    {
      fetch: async (url, init) => {
        sent.push({ url: String(url), init: init ?? {} })
        const reply = replies[Math.min(sent.length, replies.length) - 1]
        if (!reply) throw new Error('no reply')
        return await reply()
      },
      signal: new AbortController().signal,
      parallelism: 4,
      requestTimeoutMs: 5000,
      maxRetries: 3,
      backoffMs: 1,
      log: (message) => logged.push(message),
      redact: (text) => text.replaceAll('sk-secret', '******'),
      ...change,
    },
  )
  return { made, sent, logged }
}
const ok = () => Response.json({ choices: [{ message: { content: 'hi' } }] })
const error =
  (status: number, headers = {}) =>
  () =>
    new Response('key sk-secret', { status, headers })

test('the URL of an operation follows from a base URL or from a full one', () => {
  const cases: [string, string][] = [
    ['http://x', 'http://x/v1/chat/completions'],
    ['http://x/', 'http://x/v1/chat/completions'],
    ['http://x/v1', 'http://x/v1/chat/completions'],
    ['http://x/v1/', 'http://x/v1/chat/completions'],
    ['http://x/v1/chat/completions', 'http://x/v1/chat/completions'],
    ['http://x/v1/completions', 'http://x/v1/chat/completions'],
    ['http://x/nim/v1/embeddings', 'http://x/nim/v1/chat/completions'],
    [
      'http://x/openai/deployments/a?api-version=1',
      'http://x/openai/deployments/a/chat/completions?api-version=1',
    ],
  ]
  for (const [given, expected] of cases) assert.equal(operationUrl(given, 'chat/completions'), expected)
  assert.equal(operationUrl('http://x/v1/chat/completions', 'completions'), 'http://x/v1/completions')
})

test('rate limits, server errors and lost connections are sent again, and counted', async () => {
  const lost = () => {
    throw new TypeError('fetch failed')
  }
  const { made, sent, logged } = client([error(429, { 'retry-after': '0' }), error(503), lost, ok])
  const { meter, outcome } = await metered(() => made.chat({ messages: [] }))
  assert.equal(outcome.status === 'fulfilled' && outcome.value.text, 'hi')
  assert.equal(meter.retries, 3)
  assert.equal(sent[0]?.url, 'http://m.example/v1/chat/completions')
  assert.equal(new Headers(sent[0]?.init.headers).get('authorization'), 'Bearer sk-secret')
  assert.doesNotMatch(logged.join(), /sk-secret|hidden-pw/)
})

test('what will not pass is not sent again, and no error holds the key', async () => {
  const { made, sent } = client([error(401)])
  await assert.rejects(made.chat({}), (err: Error) => /answered 401: key \*{6}/.test(err.message))
  assert.equal(sent.length, 1)
  const other = client([error(500)], { maxRetries: 2 })
  await assert.rejects(other.made.chat({}), /answered 500.*sent 3 times/)
})

test('a request that takes too long is lost, and a stop ends all at once', async () => {
  const never = () => new Promise<Response>(() => {})
  const { made } = client([never], { requestTimeoutMs: 20, maxRetries: 1 })
  await assert.rejects(made.chat({}), /did not answer within 0.02 s.*sent 2 times/)
  const abort = new AbortController()
  const stopped = client([never], { signal: abort.signal }).made.chat({})
  setTimeout(() => abort.abort(new Error('stop')), 10)
  await assert.rejects(stopped, /stop/)
})

test('no more requests are open than allowed', async () => {
  let [open, peak] = [0, 0]
  const slow = async () => {
    peak = Math.max(peak, ++open)
    await new Promise((resolve) => setTimeout(resolve, 5))
    open--
    return ok()
  }
  const { made } = client([slow], { parallelism: 3 })
  await Promise.all(Array.from({ length: 10 }, () => made.chat({})))
  assert.equal(peak, 3)
})
