// SPDX-License-Identifier: Apache-2.0
import { getLlama, type Llama, LlamaLogLevel, type LlamaModel } from 'node-llama-cpp'
import type { FromWorker, LoadOptions, ToWorker } from '../protocol.ts'
import { EngineError, type GenerateRequest, type TokenizeRequest } from '../types.ts'
import { AdapterPools } from './adapters.ts'
import { generate } from './generate.ts'
import { SequencePool } from './pool.ts'
import { Scoring } from './scoring.ts'
import { tokenized } from './tokens.ts'

// The engine's own process: a native abort in llama.cpp ends this program and nothing else. It lives as long as
// its parent is there, which alone decides when it ends (a terminal's Ctrl-C reaches both).
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)

interface Loaded {
  llama: Llama
  model: LlamaModel
  base: SequencePool
  adapters: AdapterPools
  scoring: Scoring
}

let loaded: Loaded | undefined
const running = new Map<number, AbortController>()

const send = (message: FromWorker) => process.send?.(message)

process.on('message', (message: ToWorker) => {
  if (message.t === 'load') void load(message.options)
  else if (message.t === 'generate') void work(message.id, message.request)
  else if (message.t === 'tokenize') answerTokens(message.id, message.request)
  else if (message.t === 'abort') running.get(message.id)?.abort()
  else if (message.t === 'unload') {
    loaded?.adapters.unload(message.key)
    void loaded?.scoring.unload(message.key).catch(() => undefined)
  }
})

async function load(options: LoadOptions): Promise<void> {
  try {
    const llama = await getLlama({
      gpu: false,
      build: 'never',
      maxThreads: options.threads,
      logLevel: LlamaLogLevel.error,
      logger: (_level, message) => send({ t: 'log', level: 'warn', message: message.trim() }),
      progressLogs: false,
    })
    const model = await llama.loadModel({
      modelPath: options.modelPath,
      gpuLayers: 0,
      onLoadProgress: (fraction) => send({ t: 'progress', fraction }),
    })
    const contextSize = Math.min(options.contextSize, model.trainContextSize)
    const { sequences, threads, maxQueue } = options
    const base = await SequencePool.create(model, { contextSize, sequences, threads }, maxQueue)
    const adapterContextSize = Math.min(options.adapterContextSize, model.trainContextSize)
    const { maxAdapters, adapterSequences } = options
    const shared = { threads, maxQueue, maxAdapters, contextSize: adapterContextSize }
    const adapters = new AdapterPools(model, { ...shared, sequences: adapterSequences })
    const scoring = new Scoring(llama, model, { ...shared, contextSize, sequences })
    loaded = { llama, model, base, adapters, scoring }
    send({
      t: 'loaded',
      model: {
        contextSize: base.contextSize,
        trainContextSize: model.trainContextSize,
        sequences,
        bos: model.tokens.bosString ?? undefined,
        eos: model.tokens.eosString ?? undefined,
        stateBytes: base.context.memoryUsage.ram,
        shape: shapeOf(model),
      },
    })
  } catch (err) {
    send({ t: 'load_failed', message: err instanceof Error ? err.message : String(err) })
  }
}

function shapeOf(model: LlamaModel) {
  const { architecture } = model.fileInfo.metadata.general
  const facts = model.fileInfo.architectureMetadata
  const heads = scalar(facts.attention?.head_count)
  return {
    architecture,
    layers: scalar(facts.block_count),
    heads,
    kvHeads: scalar(facts.attention?.head_count_kv) || heads,
  }
}

/** Some models have one value for each layer; those that can be tuned here have the same for all. */
const scalar = (value: number | readonly number[] | undefined) =>
  (typeof value === 'object' ? value[0] : value) ?? 0

async function work(id: number, request: GenerateRequest): Promise<void> {
  const abort = new AbortController()
  running.set(id, abort)
  let done = () => {}
  try {
    if (!loaded) throw new EngineError('loading', 'the model is not loaded')
    const { llama, model, base, adapters, scoring } = loaded
    const { echo, adapter } = request
    let held = { pool: base, done }
    if (echo?.logprobs !== undefined) held = await scoring.hold(echo.weights, adapter, abort.signal)
    else if (adapter) held = await adapters.hold(adapter, abort.signal)
    done = held.done
    const { pool } = held
    await generate(
      { llama, model, pool, emit: (event) => send({ t: 'event', id, event }) },
      request,
      abort.signal,
    )
  } catch (err) {
    if (!abort.signal.aborted) send({ t: 'error', id, ...wire(err) })
  } finally {
    done()
    running.delete(id)
  }
}

function answerTokens(id: number, request: TokenizeRequest): void {
  try {
    if (!loaded) throw new EngineError('loading', 'the model is not loaded')
    send({ t: 'event', id, event: { type: 'tokenized', value: tokenized(loaded.model, request) } })
  } catch (err) {
    send({ t: 'error', id, ...wire(err) })
  }
}

function wire(err: unknown) {
  if (err instanceof EngineError) return { code: err.code, message: err.message, details: err.details }
  const message = err instanceof Error ? err.message : String(err)
  return { code: 'internal' as const, message, details: {} }
}
