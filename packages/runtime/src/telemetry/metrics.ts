// SPDX-License-Identifier: Apache-2.0
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

export { Registry } from 'prom-client'

/** A Prometheus registry with Node's own metrics, when `process` is true. */
export function createMetrics(options: { process?: boolean } = {}): Registry {
  const registry = new Registry()
  if (options.process) collectDefaultMetrics({ register: registry })
  return registry
}

/** The histogram of request durations, shared by all apps of a registry. Seconds, by service, method, route, status. */
export function requestDuration(registry: Registry): Histogram<'service' | 'method' | 'route' | 'status'> {
  const name = 'http_request_duration_seconds'
  const known = registry.getSingleMetric(name)
  if (known) return known as Histogram<'service' | 'method' | 'route' | 'status'>
  return new Histogram({
    name,
    help: 'Duration of HTTP requests in seconds',
    labelNames: ['service', 'method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120],
    registers: [registry],
  })
}
