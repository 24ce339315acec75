// SPDX-License-Identifier: Apache-2.0
import type { ServiceContext } from '@open-nemo/runtime'
import type { InferenceConfig } from '../config.ts'
import { metered } from '../engine/metered.ts'
import { createResidency } from '../engine/on-demand.ts'
import type { LoadOptions } from '../engine/protocol.ts'
import { startEngine } from '../engine/supervisor.ts'
import type { Engine, LoadedModel } from '../engine/types.ts'
import { type ChatTemplate, compileChatTemplate } from '../prompt/chat-template.ts'

export type CatalogueModel = ServiceContext['catalogue']['models'][number]

/** Weights that run in an engine of ours. */
export interface BaseModel {
  model: CatalogueModel
  engine: Engine
  /** Hash of the weights; known once they are here. */
  sha256(): string | undefined
  /** Unquantised weights to score prompts with, made on first use; undefined when the served ones have to do. */
  floatWeights(): Promise<string | undefined>
  /** The chat template, or undefined when the model has none. Needs the loaded model for its control tokens. */
  template(loaded: LoadedModel): ChatTemplate | undefined
}

export interface BaseModels {
  /** The model loaded at start, which health and metadata speak of. */
  primary: BaseModel | undefined
  /** The base model of this name, started when it does not run yet. */
  find(name: string): BaseModel | undefined
  running(): BaseModel[]
  /** The catalogue's model of this name, of which weights can be tuned; nothing is started. */
  parent(name: string): CatalogueModel | undefined
  /** The file of a model's weights, fetched when it is not here. */
  weightsOf(model: CatalogueModel): Promise<{ path: string; sha256: string }>
  /** A model of its own made from other weights of `parent`; it is in memory only while it is used. */
  tuned(id: string, parent: CatalogueModel, weights: TunedWeights): BaseModel
  stop(): Promise<void>
}

/** Weights that were tuned, in a file of their own. */
export interface TunedWeights {
  path: string
  sha256: string
  /** Chat template; that of the parent when undefined. */
  template: string | undefined
}

export type EngineStarter = typeof startEngine

/** One engine for each GGUF model of the catalogue: the primary one at once, the others when first asked for. */
export function createBaseModels(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'metrics'>,
  config: InferenceConfig,
  start: EngineStarter = startEngine,
): BaseModels {
  const started = new Map<string, BaseModel>()
  const { catalogue } = ctx
  const residency = createResidency({
    most: config.NEMO_TUNED_MODELS,
    idleMs: config.NEMO_TUNED_IDLE_SECONDS * 1000,
  })

  const find = (name: string): BaseModel | undefined => {
    const model = catalogue.resolve(name)
    if (!model || model.kind === 'upstream' || model.task) return undefined
    const known = started.get(model.id)
    if (known) return known
    const made = startBase(ctx, config, model, start)
    started.set(model.id, made)
    return made
  }
  const first = catalogue.models.find((m) => m.kind !== 'upstream' && !m.task)?.id
  const primaryName = config.NIM_SERVED_MODEL_NAME ?? first
  return {
    primary: primaryName === undefined ? undefined : find(primaryName),
    find,
    running: () => [...started.values()],
    parent: (name) => {
      const model = catalogue.resolve(name)
      return model && model.kind !== 'upstream' && !model.task ? model : undefined
    },
    weightsOf: (model) => catalogue.ensureGguf(model),
    tuned: (id, parent, weights) =>
      startTuned(ctx, config, { id, parent, weights }, (options) => residency.engine(() => start(options))),
    stop: async () => {
      await Promise.all([...started.values()].map((b) => b.engine.stop()))
      await residency.stop()
    },
  }
}

function startBase(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'metrics'>,
  config: InferenceConfig,
  model: CatalogueModel,
  start: EngineStarter,
): BaseModel {
  let sha256: string | undefined
  let floats: Promise<string | undefined> | undefined
  let compiled: { template: ChatTemplate | undefined } | undefined
  const started = start({
    log: ctx.log.child({ model: model.id }),
    locate: async (say) => {
      const gguf = await ctx.catalogue.ensureGguf(model, ({ message, fraction }) =>
        say(fraction === undefined ? message : `${message} (${Math.round(fraction * 100)} %)`),
      )
      sha256 = gguf.sha256
      return loadOptions(config, model, gguf.path)
    },
  })
  return {
    model,
    engine: metered(started, ctx.metrics, model.id),
    sha256: () => sha256,
    floatWeights: () => {
      floats ??= ctx.catalogue
        .ensureFloatGguf(model, config.NEMO_EXACT_LOGPROBS_GB * 1e9)
        .catch((err: unknown) => {
          ctx.log.warn({ err, model: model.id }, 'prompts are scored with the served weights')
          return undefined
        })
      return floats
    },
    template: ({ bos, eos }) => {
      compiled ??= {
        template: model.templateFile
          ? compileChatTemplate(ctx.catalogue.template(model), { bos, eos })
          : undefined,
      }
      return compiled.template
    },
  }
}

function startTuned(
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'metrics'>,
  config: InferenceConfig,
  of: { id: string; parent: CatalogueModel; weights: TunedWeights },
  start: EngineStarter,
): BaseModel {
  const { id, parent, weights } = of
  const { templateFile: _parents, ...rest } = parent
  const model: CatalogueModel = {
    ...rest,
    id,
    names: [],
    kind: 'gguf',
    source: { type: 'file', path: weights.path },
    targets: [],
    configs: [],
  }
  const text = weights.template ?? (parent.templateFile ? ctx.catalogue.template(parent) : undefined)
  let compiled: ChatTemplate | undefined
  const started = start({
    log: ctx.log.child({ model: id }),
    locate: async () => loadOptions(config, model, weights.path),
  })
  return {
    model,
    engine: metered(started, ctx.metrics, id),
    sha256: () => weights.sha256,
    // The served weights have eight bits each, which is near enough to those that were trained.
    floatWeights: async () => undefined,
    template: ({ bos, eos }) => {
      if (text !== undefined) compiled ??= compileChatTemplate(text, { bos, eos })
      return compiled
    },
  }
}

function loadOptions(config: InferenceConfig, model: CatalogueModel, modelPath: string): LoadOptions {
  const contextSize = Math.min(config.NIM_MAX_MODEL_LEN, model.spec.context_size)
  return {
    modelPath,
    threads: config.NEMO_ENGINE_THREADS,
    contextSize,
    sequences: config.NEMO_ENGINE_SEQUENCES,
    adapterContextSize: contextSize,
    adapterSequences: config.NEMO_ADAPTER_SEQUENCES,
    maxAdapters: config.NIM_MAX_CPU_LORAS,
    maxQueue: config.NEMO_ENGINE_QUEUE,
  }
}
