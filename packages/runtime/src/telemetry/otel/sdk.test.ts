// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { createGateway, createPlatformFetch } from '../../gateway/gateway.ts'
import { createApp } from '../../http/app.ts'
import { route } from '../../http/route.ts'
import { silentLogger } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { inSpan, setTracing, type Tracing } from '../tracing.ts'
import { createTracing } from './sdk.ts'
import { traceSettings } from './settings.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'
const kept = new InMemorySpanExporter()
let tracing: Tracing

before(async () => {
  const settings = traceSettings({ OTEL_TRACES_EXPORTER: '', OTEL_BSP_SCHEDULE_DELAY: '5' })
  assert.ok(settings)
  tracing = await createTracing(settings, silentLogger(), [kept])
  setTracing(tracing)
})
beforeEach(() => kept.reset())
after(async () => {
  setTracing(undefined)
  await tracing.stop()
})

/** The spans that have arrived, once there are `count`. */
async function spans(count: number): Promise<ReadableSpan[]> {
  for (let i = 0; i < 200 && kept.getFinishedSpans().length < count; i++) await sleep(5)
  const found = kept.getFinishedSpans()
  assert.equal(found.length, count, found.map((one) => one.name).join(', '))
  return found
}

const service = (span: ReadableSpan) => span.resource.attributes['service.name']
/** `service: name` of the spans from the outermost in. */
function chain(all: ReadableSpan[]): string[] {
  const lines: string[] = []
  for (let parent: string | undefined = CALLER; parent; ) {
    const span = all.find((one) => one.parentSpanContext?.spanId === parent)
    if (span) lines.push(`${service(span)}: ${span.name}`)
    parent = span?.spanContext().spanId
  }
  return lines
}

/** Two services behind a gateway; the one asks the other. */
function platform() {
  const app = (name: string) => createApp({ name, log: silentLogger(), metrics: createMetrics() })
  const outer = app('customizer')
  const inner = app('entity-store')
  const gateway = createGateway({
    slot: (name) => (name === 'customizer' ? outer : name === 'entity-store' ? inner : 'absent'),
    platform: app('platform'),
  })
  const fetch = createPlatformFetch((role, request) => gateway.handle(role, request))
  route(inner, { method: 'GET', path: '/v1/models/:name', id: 'm', summary: 's' }, ({ params }) => params)
  route(outer, { method: 'GET', path: '/v1/customization/x', id: 'x', summary: 's' }, async () =>
    (await fetch('http://nemo-entity-store:8000/v1/models/a')).json(),
  )
  outer.get('/v1/customization/stream', () => {
    const body = new ReadableStream({
      async start(controller) {
        await sleep(30)
        controller.enqueue(new TextEncoder().encode('data: x\n\n'))
        controller.close()
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  })
  const call = (path: string) => {
    const headers = { traceparent: `00-${TRACE}-${CALLER}-01` }
    return gateway.handle('platform', new Request(`http://localhost${path}`, { headers }))
  }
  return { call }
}

test("a call is one trace, from the client's span through the gateway to the last service", async () => {
  const response = await platform().call('/v1/customization/x')
  assert.deepEqual(await response.json(), { name: 'a' })
  const all = await spans(5)
  assert.deepEqual(chain(all), [
    'nemo-gateway: GET customizer',
    'nemo-customizer: GET /v1/customization/x',
    'nemo-customizer: GET nemo-entity-store',
    'nemo-gateway: GET entity-store',
    'nemo-entity-store: GET /v1/models/:name',
  ])
  assert.ok(all.every((span) => span.spanContext().traceId === TRACE))
})

test('the span of a stream lasts as long as the stream', async () => {
  const response = await platform().call('/v1/customization/stream')
  assert.equal(kept.getFinishedSpans().length, 0)
  assert.equal(await response.text(), 'data: x\n\n')
  for (const span of await spans(2)) assert.ok(span.duration[0] * 1e3 + span.duration[1] / 1e6 >= 25)
})

test('health checks leave none', async () => {
  await platform().call('/health')
  await platform().call('/v1/customization/x')
  await spans(5)
})

test('work that fails is marked; what comes later names its parent by the carrier', async () => {
  let carrier = {}
  const failing = inSpan({ service: 'a', name: 'outer' }, async (span) => {
    carrier = span?.carrier ?? {}
    throw new Error('no luck')
  })
  await assert.rejects(failing, /no luck/)
  await inSpan({ service: 'b', name: 'later', parent: carrier }, async () => undefined)
  const [outer, later] = await spans(2)
  assert.deepEqual(outer?.status, { code: 2, message: 'no luck' })
  assert.equal(later?.parentSpanContext?.spanId, outer?.spanContext().spanId)
})
