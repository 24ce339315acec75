// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Context,
  context,
  createContextKey,
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ConsoleSpanExporter,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Logger } from '../log.ts'
import type { Carrier, Span, Tracing } from '../tracing.ts'
import type { TraceSettings } from './settings.ts'

const STOP_MS = 3000
const SERVICE = createContextKey('nemo.service')
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL }
const propagator = new W3CTraceContextPropagator()

/** Traces by OpenTelemetry's SDK. One process shows as several services, since it holds them. */
export async function createTracing(
  settings: TraceSettings,
  log: Logger,
  exporters?: SpanExporter[],
): Promise<Tracing> {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  diag.setLogger(diagTo(log), { suppressOverrideMessage: true })
  const sinks = exporters ?? (await Promise.all(settings.exporters.map((name) => exporter(name, settings))))
  const processors = sinks.map(
    (sink) => new BatchSpanProcessor({ exporter: sink, scheduledDelayMillis: settings.delayMs }),
  )
  const tracerOf = tracers(settings, processors)

  const begin: Tracing['begin'] = (spec) => {
    const active = context.active()
    const parent = trace.getSpan(active)
      ? active
      : propagator.extract(ROOT_CONTEXT, spec.parent ?? {}, defaultTextMapGetter)
    const service = spec.service ?? (parent.getValue(SERVICE) as string | undefined) ?? 'platform'
    const options = {
      kind: KINDS[spec.kind ?? 'internal'],
      attributes: spec.attributes ?? {},
      ...(spec.at ? { startTime: spec.at } : {}),
    }
    const span = tracerOf(service).startSpan(spec.name, options, parent)
    return new HeldSpan(span, trace.setSpan(parent, span).setValue(SERVICE, service))
  }
  return {
    begin,
    inside: (span, work) => context.with((span as HeldSpan).context, work),
    carrier: () => (trace.getSpan(context.active()) ? carrierOf(context.active()) : undefined),
    ignores: (path) => settings.excluded.some((one) => one.test(path)) || path === '/metrics',
    async stop() {
      const ended = Promise.allSettled(processors.map((one) => one.shutdown()))
      await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })])
      context.disable()
    },
  }
}

class HeldSpan implements Span {
  readonly #span: OtelSpan
  readonly context: Context

  constructor(span: OtelSpan, inside: Context) {
    this.#span = span
    this.context = inside
  }

  get carrier(): Carrier {
    return carrierOf(this.context)
  }

  set(attributes: Parameters<Span['set']>[0]): void {
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined) this.#span.setAttribute(key, value)
    }
  }

  rename(name: string): void {
    this.#span.updateName(name)
  }

  fail(reason: unknown): void {
    const message = reason instanceof Error ? reason.message : String(reason)
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, 500) })
  }

  end(at?: Date): void {
    if (this.#span.isRecording()) this.#span.end(at)
  }
}

function carrierOf(of: Context): Carrier {
  const carrier: Carrier = {}
  propagator.inject(of, carrier, defaultTextMapSetter)
  return carrier
}

/** A tracer for each service: they differ by the name that their spans show. */
function tracers(settings: TraceSettings, processors: SpanProcessor[]): (service: string) => Tracer {
  const sampler = samplerOf(settings.sampler)
  const known = new Map<string, Tracer>()
  return (service) => {
    const found = known.get(service)
    if (found) return found
    const own = {
      'service.namespace': 'open-nemo',
      'service.name': `nemo-${service}`,
      ...settings.resource,
      ...(settings.serviceName ? { 'service.name': settings.serviceName } : {}),
    }
    const resource = defaultResource().merge(resourceFromAttributes(own))
    const tracer = new TracerProvider({ resource, sampler, spanProcessors: processors }).getTracer(
      'open-nemo',
    )
    known.set(service, tracer)
    return tracer
  }
}

async function exporter(
  name: TraceSettings['exporters'][number],
  { protocol, url }: TraceSettings,
): Promise<SpanExporter> {
  if (name === 'console') return new ConsoleSpanExporter()
  if (protocol === 'grpc') {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc')
    return new OTLPTraceExporter({ url })
  }
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto')
  return new OTLPTraceExporter({ url })
}

function samplerOf({ name, ratio }: TraceSettings['sampler']): Sampler {
  const root = name.endsWith('always_off')
    ? new AlwaysOffSampler()
    : name.endsWith('traceidratio')
      ? new TraceIdRatioBasedSampler(ratio)
      : new AlwaysOnSampler()
  return name.startsWith('parentbased') ? new ParentBasedSampler({ root }) : root
}

/** The SDK's own complaints, such as a collector that does not answer. */
function diagTo(log: Logger) {
  const at = (level: 'error' | 'warn' | 'debug') => (message: string, detail?: unknown) =>
    log[level]({ detail }, `traces: ${message}`)
  return { error: at('warn'), warn: at('warn'), info: at('debug'), debug: at('debug'), verbose: () => {} }
}
