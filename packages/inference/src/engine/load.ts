// SPDX-License-Identifier: Apache-2.0
import type { Registry } from '@open-nemo/runtime'
import { Gauge } from 'prom-client'

/** What an engine has to do now, in generations: each answer of a request is one. */
export interface Load {
  waiting: number
  running: number
  /** So many can run at once; undefined while nobody knows. */
  most(): number | undefined
}

/** The names of NIMs and those of vLLM, which dashboards and autoscalers ask for. */
const GAUGES: { names: string[]; help: string; value: (load: Load) => number | undefined }[] = [
  {
    names: ['num_requests_running', 'vllm:num_requests_running'],
    help: 'Generations that have a sequence now, by base model',
    value: (load) => load.running,
  },
  {
    names: ['num_requests_waiting', 'vllm:num_requests_waiting'],
    help: 'Generations that wait for a sequence now, by base model',
    value: (load) => load.waiting,
  },
  {
    names: ['num_request_max'],
    help: 'Generations that can run at once without an adapter, by base model',
    value: (load) => load.most(),
  },
]

const tracked = new WeakMap<Registry, Map<string, Load>>()

/** Shows a load among the metrics until what it gives back is called. */
export function showLoad(metrics: Registry, model: string, load: Load): () => void {
  const loads = tracked.get(metrics) ?? register(metrics)
  loads.set(model, load)
  return () => {
    // a successor of the same name stays
    if (loads.get(model) === load) loads.delete(model)
  }
}

function register(metrics: Registry): Map<string, Load> {
  const loads = new Map<string, Load>()
  tracked.set(metrics, loads)
  for (const { names, help, value } of GAUGES) {
    for (const name of names) {
      new Gauge({
        name,
        help,
        labelNames: ['model_name'],
        registers: [metrics],
        collect() {
          this.reset()
          for (const [model_name, load] of loads) {
            const now = value(load)
            if (now !== undefined) this.set({ model_name }, now)
          }
        },
      })
    }
  }
  return loads
}
