// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createMetrics,
  createPlatformFetch,
  openMemoryDatabase,
  type ServiceContext,
  silentLogger,
} from '@open-nemo/runtime'
import type { ModelEntryInput } from '@open-nemo/runtime/catalogue/file.ts'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { Hono } from 'hono'
import {
  type Engine,
  EngineError,
  type GenerateEvent,
  type GenerateRequest,
  type LoadedModel,
  type RankRequest,
  type TokenizeRequest,
} from './engine/types.ts'
import { startInference } from './index.ts'

export const LOADED: LoadedModel = {
  contextSize: 2048,
  trainContextSize: 8192,
  sequences: 8,
  bos: '<|im_start|>',
  eos: '<|im_end|>',
  stateBytes: 1,
  shape: { architecture: 'llama', layers: 2, heads: 4, kvHeads: 2 },
}

/** An engine that says what the test tells it to, and remembers what it was asked. */
export class ScriptedEngine implements Engine {
  asked: GenerateRequest[] = []
  unloaded: string[] = []
  embedded: number[][][] = []
  aborted = 0
  loading: string | undefined
  located: Promise<unknown> | undefined
  /** Pieces of the answer; an error is thrown, 'hang' waits until the caller hangs up. */
  script: (string | Error)[] = ['Hel', 'lo']

  state() {
    return this.loading
      ? ({ status: 'loading', message: this.loading } as const)
      : ({ status: 'ready', model: LOADED } as const)
  }

  async ready() {
    await this.located
    if (this.loading) throw new EngineError('loading', this.loading)
    return LOADED
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    this.asked.push(request)
    const [first] = this.script
    if (first instanceof Error) throw first
    yield { type: 'start', promptTokens: 10, cachedTokens: 4 }
    if (request.echo) yield echoed(request)
    for (const piece of this.script) {
      if (piece instanceof Error) throw piece
      if (piece === 'hang') await this.#hang(signal)
      const logprobs =
        request.topLogprobs === undefined
          ? undefined
          : [{ token: piece, logprob: -0.5, top: [{ token: piece, logprob: -0.5 }] }]
      yield { type: 'text', text: piece, logprobs }
    }
    yield { type: 'end', finish: 'stop', completionTokens: this.script.length }
  }

  #hang(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      const leave = () => {
        this.aborted++
        reject(signal.reason)
      }
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    })
  }

  /** A token a character, by its code; a beginning token 1. */
  async tokenize(request: TokenizeRequest) {
    if (this.loading) throw new EngineError('loading', this.loading)
    const given =
      'text' in request
        ? [...(request.addSpecialTokens ? [1] : []), ...[...request.text].map((c) => c.charCodeAt(0))]
        : request.tokens
    if (given.some((token) => token > 255)) throw new EngineError('bad_token', 'token is not one of 0..255')
    const pieces = given.map((token) => String.fromCharCode(token))
    return { text: pieces.join(''), tokens: given, pieces }
  }

  async embed(inputs: number[][], signal: AbortSignal) {
    signal.throwIfAborted()
    this.embedded.push(inputs)
    // The first token after [CLS] decides the vector: (3, 4) / 5 or (0, 1).
    return inputs.map((tokens) => {
      const vector = tokens[1] === 3 ? [0.6, 0.8] : [0, 1]
      return Buffer.from(new Float32Array(vector).buffer).toString('base64')
    })
  }

  /** The longer a passage, the better; a token a character, of which 40 fit. */
  async rank({ query, passages, truncate }: RankRequest, signal: AbortSignal) {
    signal.throwIfAborted()
    const lengths = passages.map((passage, index) => {
      const tokens = query.length + passage.length
      if (tokens > 40 && !truncate) throw new EngineError('input_too_long', '', { index, tokens, limit: 40 })
      return Math.min(40, tokens)
    })
    return { logits: lengths.map((n) => n / 4 - 5), tokens: lengths.reduce((a, b) => a + b, 0) }
  }

  unload(key: string) {
    this.unloaded.push(key)
  }

  async stop() {}
}

function echoed({ prompt, echo }: GenerateRequest): GenerateEvent {
  const words = 'text' in prompt ? prompt.text.split(/(?= )/) : prompt.tokens.map((t) => `<${t}>`)
  const logprobs = words.map((token, i) => ({
    token,
    logprob: i === 0 ? null : -i,
    top: i === 0 ? [] : [{ token: 'best', logprob: -0.25 }],
  }))
  return { type: 'prompt', text: words.join(''), ...(echo?.logprobs === undefined ? {} : { logprobs }) }
}

type Entity = Record<string, unknown>

/** The inference service over a scripted engine, and an entity store and data store kept in memory. */
export async function startTestService(env: Record<string, string> = {}, models: ModelEntryInput[] = []) {
  const engine = new ScriptedEngine()
  const entities: Entity[] = []
  const files = new Map<string, Uint8Array | string>()
  const calls: string[] = []
  const commit = { sha: 'c1' }
  const outside = new Map<string, (request: Request) => Response | Promise<Response>>()
  const world = new Hono()
  world.get('/v1/models', (c) => {
    calls.push(c.req.url)
    const filter = ['peft', 'api_endpoint'].find((f) => c.req.query(`filter[${f}]`) === 'true')
    const all = entities.filter((e) => !filter || e[filter])
    const sorted = all.toSorted((a, b) => String(b.updated_at).localeCompare(String(a.updated_at)))
    const data = Number(c.req.query('page') ?? 1) === 1 ? sorted : []
    return c.json({ object: 'list', data, pagination: { total_results: all.length } })
  })
  world.get('/v1/hf/api/models/:ns/:repo/revision/:rev', (c) => c.json(commit))
  world.get('/v1/hf/:ns/:repo/resolve/:rev/:file', (c) => {
    const body = files.get(c.req.param('file'))
    return body === undefined ? c.json({ error: 'no' }, 404) : new Response(body as BodyInit)
  })
  const inner = createPlatformFetch((_role, request) => world.fetch(request))
  const dataDir = await mkdtemp(join(tmpdir(), 'inference-'))
  await writeFile(join(dataDir, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\na\nb\n[SEP]\n')
  await writeFile(join(dataDir, 'models.json'), JSON.stringify({ models }))
  const db = await openMemoryDatabase()
  const catalogue = {
    ...(await loadCatalogue({ env: {}, home: dataDir, cacheDir: dataDir })),
    ensureGguf: async () => ({ path: '/dev/null', sha256: 'base-sha' }),
    ensureFiles: async () => dataDir,
    ensureFloatGguf: async () => '/floats.gguf',
  }
  const started = await startInference(
    {
      name: 'inference',
      env: { NIM_PEFT_REFRESH_INTERVAL: '3600', NEMO_LOAD_WAIT: '0', ...env },
      dataDir,
      cacheDir: dataDir,
      db,
      fetch: inner,
      urls: {
        'entity-store': 'http://nemo-entity-store:8000',
        'data-store': 'http://nemo-data-store:3000',
      } as ServiceContext['urls'],
      publicUrls: { inference: 'http://nim.test' } as ServiceContext['urls'],
      catalogue,
      log: silentLogger(),
      metrics: createMetrics(),
    },
    (options) => {
      // The real one learns the weights' hash on the way.
      engine.located = options.locate(() => undefined).catch(() => undefined)
      return engine
    },
    async ({ url, ...init }) => {
      const host = outside.get(new URL(url).hostname)
      const request = new Request(url, { method: 'POST', ...init })
      return host ? host(request) : inner(request)
    },
  )
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    started.app.request(path, { method: 'POST', body: JSON.stringify(body), ...init })
  const stop = async () => {
    await started.stop()
    await db.close()
  }
  return { ...started, stop, dataDir, engine, entities, files, calls, commit, outside, post }
}
