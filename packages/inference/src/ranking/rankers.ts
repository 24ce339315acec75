// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import type { ServiceContext } from '@open-nemo/runtime'
import type { InferenceConfig } from '../config.ts'
import { createPlaces, type Places } from '../engine/places.ts'
import { startEngine } from '../engine/supervisor.ts'
import type { Engine } from '../engine/types.ts'
import { wholeInputs } from '../engine/whole-inputs.ts'
import type { CatalogueModel, EngineStarter } from '../models/base-models.ts'

const WORKER = fileURLToPath(new URL('../engine/worker/ranking.ts', import.meta.url))

/** A model that scores passages for a query, in a process of its own. */
export interface Ranker extends Places {
  engine: Engine
}

export interface Rankers {
  /** The ranker of a catalogue model, started when it does not run yet. */
  of(model: CatalogueModel): Ranker
  stop(): Promise<void>
}

/** Rerankers are the users' own; each starts when it is first asked for. */
export function createRankers(
  ctx: Pick<ServiceContext, 'catalogue' | 'log'>,
  config: InferenceConfig,
  start: EngineStarter = startEngine,
): Rankers {
  const started = new Map<string, Ranker>()
  const starting = (model: CatalogueModel): Ranker => {
    const contextSize = Math.min(config.NIM_MAX_MODEL_LEN, model.spec.context_size)
    const engine = start({
      log: ctx.log.child({ model: model.id }),
      workerFile: WORKER,
      locate: async (say) => {
        const { path } = await ctx.catalogue.ensureGguf(model, ({ message }) => say(message))
        return wholeInputs(config, path, contextSize)
      },
    })
    return { engine, ...createPlaces(config.NEMO_ENGINE_QUEUE) }
  }
  return {
    of(model) {
      const known = started.get(model.id)
      if (known) return known
      const made = starting(model)
      started.set(model.id, made)
      return made
    },
    stop: async () => {
      await Promise.all([...started.values()].map(({ engine }) => engine.stop()))
    },
  }
}
