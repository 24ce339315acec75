// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setTracing, type Tracing } from '@open-nemo/runtime/telemetry/tracing.ts'
import { type Answer, createTransport } from './transport.ts'

const never = new AbortController().signal
const textOf = ({ body }: Answer) => new Response(body).text()

async function withServer(answer: RequestListener, work: (url: string) => Promise<void>): Promise<number> {
  let connections = 0
  const server = createServer(answer).on('connection', () => connections++)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/x`)
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return connections
}

test('connections are used again, answers whole or streamed come as they are', async () => {
  const send = createTransport(fetch)
  const connections = await withServer(
    async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      if (body === 'stream') {
        response.write('one ')
        setTimeout(() => response.end('two'), 20)
      } else response.writeHead(418, { 'content-length': 3 }).end('tea')
    },
    async (url) => {
      for (let i = 0; i < 3; i++) {
        const whole = await send({ url, headers: {}, body: 'x', signal: never })
        assert.deepEqual([whole.status, await textOf(whole)], [418, 'tea'])
        await sleep(5)
        const stream = await send({ url, headers: {}, body: 'stream', signal: never })
        assert.equal(await textOf(stream), 'one two')
        // undici frees a connection one turn of the loop after its answer.
        await sleep(5)
      }
    },
  )
  assert.equal(connections, 1)
  send.close()
})

test('a proxy of the environment is used where Node is told so, but for hosts that are reached directly', async () => {
  const asked: string[] = []
  const proxy = createServer(({ url }, response) => {
    asked.push(url ?? '')
    response.end('by the proxy')
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const before = { ...process.env }
  const { port } = proxy.address() as AddressInfo
  Object.assign(process.env, {
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: `http://127.0.0.1:${port}`,
    NO_PROXY: '127.0.0.1,.svc',
  })
  const send = createTransport(fetch)
  try {
    const outside = { url: 'http://models.example/v1/x', headers: {}, body: 'x', signal: never }
    assert.equal(await textOf(await send(outside)), 'by the proxy')
    assert.deepEqual(asked, [outside.url])
    await withServer(
      (_, response) => response.end('direct'),
      async (url) => assert.equal(await textOf(await send({ ...outside, url })), 'direct'),
    )
    assert.equal(asked.length, 1)
  } finally {
    process.env = before
    send.close()
    proxy.close()
  }
})

test('what fails while connecting is tried again, what was sent is not', async () => {
  const send = createTransport(fetch)
  let seen = 0
  await withServer(
    (request) => {
      seen++
      request.socket.destroy()
    },
    async (url) => {
      await assert.rejects(send({ url, headers: {}, body: '{}', signal: never }), /other side closed/)
    },
  )
  assert.equal(seen, 1)
  let url = ''
  await withServer(
    () => undefined,
    async (at) => {
      url = at
    },
  )
  const begun = performance.now()
  const late = createServer((_request, response) => response.end('up'))
  setTimeout(() => late.listen(Number(new URL(url).port), '127.0.0.1'), 50)
  assert.equal(await textOf(await send({ url, headers: {}, body: '{}', signal: never })), 'up')
  late.closeAllConnections()
  await new Promise((resolve) => late.close(resolve))
  await sleep(20)
  await assert.rejects(send({ url, headers: {}, body: '{}', signal: never }), { code: 'ECONNREFUSED' })
  assert.ok(performance.now() - begun < 2000)
  send.close()
})

test('an answer may end with its connection, and be larger than a reader takes at once', async () => {
  const send = createTransport(fetch)
  for (const size of [7, 3_000_000]) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(`HTTP/1.0 200 OK\r\n\r\n${'x'.repeat(size)}`))
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/x`
    const answer = await send({ url, headers: {}, body: '{}', signal: AbortSignal.timeout(10_000) })
    assert.ok(answer.body instanceof ReadableStream)
    let got = 0
    for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
      got += chunk.length
      await sleep(1)
    }
    assert.equal(got, size)
    await new Promise((resolve) => server.close(resolve))
  }
  send.close()
})

test('a reader that stops ends the request at the upstream', async () => {
  const send = createTransport(fetch)
  const closed = Promise.withResolvers<void>()
  await withServer(
    (request, response) => {
      request.socket.once('close', () => closed.resolve())
      const timer = setInterval(() => response.write('more '), 5)
      response.once('close', () => clearInterval(timer))
    },
    async (url) => {
      const { body } = await send({ url, headers: {}, body: '{}', signal: never })
      const reader = (body as ReadableStream<Uint8Array>).getReader()
      await reader.read()
      await reader.cancel()
      await closed.promise
    },
  )
  send.close()
})

test('an answer that is broken off is an error, whole or streamed', async () => {
  const send = createTransport(fetch)
  await withServer(
    async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      response.writeHead(200, body === 'whole' ? { 'content-length': 100 } : {})
      response.write('half')
      setTimeout(() => response.destroy(), 20)
    },
    async (url) => {
      await assert.rejects(send({ url, headers: {}, body: 'whole', signal: never }), /broke off|aborted/)
      const stream = await send({ url, headers: {}, body: 'stream', signal: never })
      await assert.rejects(textOf(stream), /broke off|aborted/)
    },
  )
  send.close()
})

test('hanging up ends the request at the upstream', async () => {
  const send = createTransport(fetch)
  const abort = new AbortController()
  const closed = Promise.withResolvers<void>()
  await withServer(
    (request) => {
      request.socket.once('close', closed.resolve)
      abort.abort()
    },
    async (url) => {
      await assert.rejects(send({ url, headers: {}, body: '{}', signal: abort.signal }), {
        name: 'AbortError',
      })
    },
  )
  await closed.promise
  send.close()
})

test('with traces on, the upstream is told of the span, which lasts as long as a stream', async () => {
  const ended: string[] = []
  const begin: Tracing['begin'] = ({ name }) => ({
    carrier: { traceparent: '00-1-2-01' },
    set: () => undefined,
    rename: () => undefined,
    fail: () => undefined,
    end: () => void ended.push(name),
  })
  setTracing({
    begin,
    inside: (_span, work) => work(),
    carrier: () => undefined,
    ignores: () => false,
    stop: async () => undefined,
  })
  const send = createTransport(fetch)
  const seen: unknown[] = []
  try {
    await withServer(
      async (request, response) => {
        seen.push(request.headers.traceparent)
        let body = ''
        for await (const chunk of request) body += chunk
        if (body === 'stream') {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.write('data: 1\n\n')
          setTimeout(() => response.end('data: 2\n\n'), 20)
        } else response.writeHead(Number(body), { 'content-length': 3, 'retry-after': '7' }).end('tea')
      },
      async (url) => {
        const whole = await send({ url, headers: {}, body: '418', signal: never })
        assert.deepEqual([whole.status, whole.headers.get('retry-after')], [418, '7'])
        assert.equal(await textOf(whole), 'tea')
        assert.equal(ended.length, 1)
        assert.equal((await send({ url, headers: {}, body: '204', signal: never })).body, null)
        const stream = await send({ url, headers: {}, body: 'stream', signal: never })
        assert.equal(ended.length, 2)
        assert.equal(await textOf(stream), 'data: 1\n\ndata: 2\n\n')
        assert.deepEqual(ended, Array(3).fill('POST 127.0.0.1'))
      },
    )
  } finally {
    setTracing(undefined)
    send.close()
  }
  assert.deepEqual(seen, Array(3).fill('00-1-2-01'))
})
