// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { silentLogger } from '../telemetry/log.ts'
import { createTracing } from '../telemetry/otel/sdk.ts'
import { traceSettings } from '../telemetry/otel/settings.ts'
import { setTracing } from '../telemetry/tracing.ts'

/** A span that has ended. */
export interface SeenSpan {
  service: string
  name: string
  trace: string
  id: string
  parent: string | undefined
  attributes: Record<string, unknown>
  /** Why it failed. */
  failure: string | undefined
}

/** Spans as they were made, kept in memory. */
export interface SeenTraces {
  /** All spans, once one of them is the one that is waited for. */
  ended(isLast: (span: SeenSpan) => boolean): Promise<SeenSpan[]>
  /** `service: name` of a span's known ancestors from the outermost in, and of itself. */
  chain(span: SeenSpan): string[]
  reset(): void
  stop(): Promise<void>
}

/** Turns traces on for tests, by OpenTelemetry's SDK as they run it. */
export async function recordTraces(): Promise<SeenTraces> {
  const kept = new InMemorySpanExporter()
  const settings = traceSettings({ OTEL_TRACES_EXPORTER: '', OTEL_BSP_SCHEDULE_DELAY: '5' })
  if (!settings) throw new Error('traces are off')
  const tracing = await createTracing(settings, silentLogger(), [kept])
  setTracing(tracing)
  const all = () => kept.getFinishedSpans().map(seen)
  return {
    async ended(isLast) {
      for (let i = 0; i < 1000; i++) {
        const spans = all()
        if (spans.some(isLast)) return spans
        await sleep(5)
      }
      throw new Error(`it did not end: ${all().map(({ name }) => name)}`)
    },
    chain(span) {
      const byId = new Map(all().map((one) => [one.id, one]))
      const lines: string[] = []
      for (let at: SeenSpan | undefined = span; at; at = byId.get(at.parent ?? ''))
        lines.unshift(`${at.service}: ${at.name}`)
      return lines
    },
    reset: () => kept.reset(),
    async stop() {
      setTracing(undefined)
      await tracing.stop()
    },
  }
}

function seen(span: ReadableSpan): SeenSpan {
  const { traceId, spanId } = span.spanContext()
  return {
    service: String(span.resource.attributes['service.name']),
    name: span.name,
    trace: traceId,
    id: spanId,
    parent: span.parentSpanContext?.spanId,
    attributes: span.attributes,
    failure: span.status.message,
  }
}
