// SPDX-License-Identifier: Apache-2.0
import { createMetrics, type Registry } from '@open-nemo/runtime/telemetry/metrics.ts'
import { Counter, Gauge, Histogram } from 'prom-client'
import type { KubeObject } from './types.ts'

export interface OperatorMetrics {
  registry: Registry
  reconciled(kind: string, result: 'ok' | 'retry' | 'refused' | 'error', seconds: number): void
  applied(kind: string): void
  answered(method: string, code: number): void
  watchRestarted(kind: string, cause: string): void
  leading(value: boolean): void
}

/** The metrics of an operator; `depth` and `resources` are asked when somebody scrapes. */
export function operatorMetrics(ask: {
  depth(): number
  resources(): Iterable<KubeObject>
}): OperatorMetrics {
  const registry = createMetrics({ process: true })
  const registers = [registry]
  const duration = new Histogram({
    name: 'open_nemo_reconcile_seconds',
    help: 'Duration of one reconciliation by kind and result',
    labelNames: ['kind', 'result'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers,
  })
  const writes = new Counter({
    name: 'open_nemo_applied_total',
    help: 'Objects that were written, by kind',
    labelNames: ['kind'],
    registers,
  })
  const answers = new Counter({
    name: 'open_nemo_api_requests_total',
    help: 'Requests to the API server by method and code; 0 is no answer',
    labelNames: ['method', 'code'],
    registers,
  })
  const restarts = new Counter({
    name: 'open_nemo_watch_restarts_total',
    help: 'Watches that broke, by kind and cause',
    labelNames: ['kind', 'cause'],
    registers,
  })
  const leader = new Gauge({ name: 'open_nemo_leader', help: '1 while this process leads', registers })
  new Gauge({
    name: 'open_nemo_queue_depth',
    help: 'Resources that wait for their turn',
    registers,
    collect() {
      this.set(ask.depth())
    },
  })
  new Gauge({
    name: 'open_nemo_resources',
    help: 'Resources by kind and state',
    labelNames: ['kind', 'state'],
    registers,
    collect() {
      this.reset()
      for (const { kind, status } of ask.resources())
        this.inc({ kind, state: String((status as { state?: string } | undefined)?.state ?? '') })
    },
  })
  return {
    registry,
    reconciled: (kind, result, seconds) => duration.observe({ kind, result }, seconds),
    applied: (kind) => writes.inc({ kind }),
    answered: (method, code) => answers.inc({ method, code: String(code) }),
    watchRestarted: (kind, cause) => restarts.inc({ kind, cause }),
    leading: (value) => leader.set(value ? 1 : 0),
  }
}
