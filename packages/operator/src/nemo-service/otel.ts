// SPDX-License-Identifier: Apache-2.0
import { variables } from '../pod-basics/placement.ts'
import type { Fields } from './types.ts'

export interface OtelSpec {
  enabled?: boolean
  exporterOtlpEndpoint?: string
  disableLogging?: boolean
  exporterConfig?: { tracesExporter?: string; metricsExporter?: string; logsExporter?: string }
  excludedUrls?: string[]
  logLevel?: string
}

export const OTEL_PATHS = [
  'otel.enabled',
  'otel.exporterOtlpEndpoint',
  'otel.disableLogging',
  'otel.exporterConfig',
  'otel.excludedUrls',
  'otel.logLevel',
]

/** OpenTelemetry's own variables. */
export function otelEnv(otel: OtelSpec | undefined): Fields[] {
  if (!otel?.enabled) return variables([['OTEL_SDK_DISABLED', 'true']])
  const { tracesExporter, metricsExporter, logsExporter } = otel.exporterConfig ?? {}
  return variables([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', otel.exporterOtlpEndpoint ?? ''],
    ['OTEL_TRACES_EXPORTER', tracesExporter || 'otlp'],
    ['OTEL_METRICS_EXPORTER', metricsExporter || 'otlp'],
    ['OTEL_LOGS_EXPORTER', logsExporter || 'otlp'],
    ['OTEL_LOG_LEVEL', otel.logLevel || 'INFO'],
    ['OTEL_PYTHON_EXCLUDED_URLS', (otel.excludedUrls ?? ['health']).join(',')],
    ['OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED', otel.disableLogging ? 'false' : 'true'],
  ])
}
