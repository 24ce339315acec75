// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { ConfigError, parseConfig } from '../../config/parse.ts'

type Env = Record<string, string | undefined>

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

const schema = z.object({
  OTEL_SDK_DISABLED: z.string().optional(),
  OTEL_TRACES_EXPORTER: z.string().optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url('must be a URL such as http://otel-collector:4317').optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z.url('must be a URL').optional(),
  OTEL_EXPORTER_OTLP_PROTOCOL: z.enum(['grpc', 'http/protobuf']).optional(),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: z.enum(['grpc', 'http/protobuf']).optional(),
  OTEL_SERVICE_NAME: z.string().optional(),
  OTEL_RESOURCE_ATTRIBUTES: z.string().optional(),
  OTEL_TRACES_SAMPLER: z.enum(SAMPLERS).default('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(1),
  OTEL_BSP_SCHEDULE_DELAY: z.coerce.number().int().min(1).default(5000),
  OTEL_PYTHON_EXCLUDED_URLS: z.string().default('health'),
})

/** Where and how traces go. */
export interface TraceSettings {
  exporters: ('otlp' | 'console')[]
  protocol: 'grpc' | 'http/protobuf'
  /** URL for the exporter, whole. */
  url: string
  serviceName: string | undefined
  resource: Record<string, string>
  sampler: { name: (typeof SAMPLERS)[number]; ratio: number }
  delayMs: number
  excluded: RegExp[]
}

/**
 * Reads the OTEL_* variables; undefined when they ask for no traces. An endpoint, or an exporter even when it is
 * empty (which means otlp), asks for them. Throws ConfigError.
 */
export function traceSettings(env: Env): TraceSettings | undefined {
  if (/^true$/i.test(env.OTEL_SDK_DISABLED?.trim() ?? '')) return undefined
  // Defined but empty is an answer here: operators write it for "the default".
  const asked = env.OTEL_TRACES_EXPORTER
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT
  if (asked === undefined && !endpoint) return undefined
  const exporters = exportersOf(asked)
  if (exporters.length === 0) return undefined
  const c = parseConfig(schema, env)
  const protocol =
    c.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? c.OTEL_EXPORTER_OTLP_PROTOCOL ?? protocolOf(endpoint)
  return {
    exporters,
    protocol,
    url: exporterUrl(protocol, c.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, c.OTEL_EXPORTER_OTLP_ENDPOINT),
    serviceName: c.OTEL_SERVICE_NAME,
    resource: attributesOf(c.OTEL_RESOURCE_ATTRIBUTES),
    sampler: { name: c.OTEL_TRACES_SAMPLER, ratio: c.OTEL_TRACES_SAMPLER_ARG },
    delayMs: c.OTEL_BSP_SCHEDULE_DELAY,
    excluded: c.OTEL_PYTHON_EXCLUDED_URLS.split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map(pattern),
  }
}

function exportersOf(asked: string | undefined): TraceSettings['exporters'] {
  const names = (asked ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
  const wanted = names.length === 0 ? ['otlp'] : names.filter((name) => name !== 'none')
  for (const name of wanted) {
    if (name !== 'otlp' && name !== 'console')
      throw new ConfigError(
        `bad configuration:\n  OTEL_TRACES_EXPORTER: ${name} is not known; use otlp, console or none`,
      )
  }
  return wanted as TraceSettings['exporters']
}

/** Port 4317 is gRPC's by convention, and what operators set without naming a protocol. */
function protocolOf(endpoint: string | undefined): TraceSettings['protocol'] {
  return endpoint && URL.parse(endpoint)?.port === '4317' ? 'grpc' : 'http/protobuf'
}

/** The endpoint of all signals takes the path of traces with HTTP; that of traces is whole. */
function exporterUrl(
  protocol: TraceSettings['protocol'],
  ofTraces: string | undefined,
  ofAll: string | undefined,
): string {
  if (ofTraces) return ofTraces
  if (protocol === 'grpc') return ofAll ?? 'http://localhost:4317'
  return `${(ofAll ?? 'http://localhost:4318').replace(/\/+$/, '')}/v1/traces`
}

function attributesOf(text = ''): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.split('='))
  return Object.fromEntries(
    pairs.flatMap(([key, ...rest]) => (key?.trim() && rest.length > 0 ? [[key.trim(), decode(rest)]] : [])),
  )
}

function decode(parts: string[]): string {
  const text = parts.join('=').trim()
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function pattern(source: string): RegExp {
  try {
    return new RegExp(source)
  } catch {
    throw new ConfigError(`bad configuration:\n  OTEL_PYTHON_EXCLUDED_URLS: ${source} is no pattern`)
  }
}
