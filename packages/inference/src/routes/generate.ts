// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { ApiError } from '@open-nemo/contract'
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import {
  chatRequest,
  chatResponse,
  completionRequest,
  completionResponse,
  embeddingRequest,
  embeddingResponse,
  rankingRequest,
  rankingResponse,
} from '@open-nemo/contract/inference/schemas.ts'
import { type App, errorResponse, readJson, validate } from '@open-nemo/runtime'
import type { AppEnv } from '@open-nemo/runtime/http/app.ts'
import { eventStream } from '@open-nemo/runtime/http/sse.ts'
import type { Context } from 'hono'
import { z } from 'zod'
import type { InferenceConfig } from '../config.ts'
import { answerEmbeddings } from '../embedding/answer.ts'
import { doing, type Served, type ServedModels } from '../models/served-models.ts'
import { type AnswerContext, answerChat, streamChat } from '../openai/chat.ts'
import { answerCompletion, streamCompletion } from '../openai/completion.ts'
import type { LocalModel } from '../openai/generation.ts'
import { answerRanking } from '../ranking/answer.ts'
import { proxy } from '../upstream/proxy.ts'
import type { Transport } from '../upstream/transport.ts'

export interface GenerateRoutes {
  app: App
  config: InferenceConfig
  served: ServedModels
  send: Transport
  /** Counts the requests in work, so that stopping can wait for them. */
  track: <T>(work: Promise<T>) => Promise<T>
}

const named = z.looseObject({ model: z.string().min(1).max(1024) })
const BODY_LIMIT = 16 * 1024 * 1024

type Operation<R, A> = {
  path: string
  id: string
  summary: string
  schema: z.ZodType<R>
  response: z.ZodType
  answer(model: LocalModel, request: R, ctx: AnswerContext): Promise<A>
  stream(model: LocalModel, request: R, ctx: AnswerContext): Promise<AsyncGenerator<unknown>>
}

/** The operations that generate text, and those that only upstreams have. */
export function registerGenerate(on: GenerateRoutes): void {
  registerOperation(on, {
    path: '/chat/completions',
    id: 'create_chat_completion',
    summary: 'Chat completion for the provided conversation',
    schema: chatRequest,
    response: chatResponse,
    answer: answerChat,
    stream: streamChat,
  })
  registerOperation(on, {
    path: '/completions',
    id: 'create_completion',
    summary: 'Completion for the provided prompt',
    schema: completionRequest,
    response: completionResponse,
    answer: answerCompletion,
    stream: streamCompletion,
  })
  registerEmbeddings(on)
  registerRanking(on)
  register(on, { path: '/classify', id: 'create_classify', summary: 'Classify by an upstream model' }, () => {
    throw errors.OPERATION_NOT_SERVED({ operation: 'classify' }).with({ 'x-should-retry': 'false' })
  })
}

function registerEmbeddings(on: GenerateRoutes): void {
  const info = {
    path: '/embeddings',
    id: 'create_embedding',
    summary: 'Embeddings for the provided input',
    body: embeddingRequest,
    response: embeddingResponse,
  }
  register(on, info, async (c, served, body) => {
    if (served.kind !== 'embedding') {
      const instead = on.served.embedding() ?? 'a model that embeds'
      throw errors.WRONG_TASK({
        model: served.name,
        does: doing(served),
        operation: 'embed',
        instead,
        field: 'model',
      })
    }
    const request = validate(embeddingRequest, body)
    const { name, embedder } = served
    return c.json(await answerEmbeddings(name, embedder, request, on.config, c.req.raw.signal))
  })
}

function registerRanking(on: GenerateRoutes): void {
  const missing = (model: string) => {
    const rankers = on.served.rankers().join(', ') || '(none yet)'
    return errors.RANKER_NOT_FOUND({ model: model.slice(0, 200), rankers, field: 'model' })
  }
  const info = {
    path: '/ranking',
    id: 'create_ranking',
    summary: 'Rank passages by how well they answer a query',
    body: rankingRequest,
    response: rankingResponse,
    missing,
  }
  register(on, info, async (c, served, body) => {
    if (served.kind !== 'ranking') throw missing(served.name)
    const request = validate(rankingRequest, body)
    const { name, ranker } = served
    return c.json(await answerRanking(name, ranker, request, on.config, c.req.raw.signal))
  })
}

function registerOperation<R extends { stream?: boolean | null | undefined }, A>(
  on: GenerateRoutes,
  op: Operation<R, A>,
): void {
  const info = { path: op.path, id: op.id, summary: op.summary, body: op.schema, response: op.response }
  register(on, info, async (c, model, body) => {
    if (model.kind !== 'local') {
      const facts = { model: model.name, does: doing(model), operation: 'generate any' }
      const path = model.kind === 'embedding' ? 'embeddings' : 'ranking'
      throw errors.WRONG_TASK({
        ...facts,
        instead: `POST /v1/${path}, or a model that generates`,
        field: 'model',
      })
    }
    const request = validate(op.schema, body)
    const abort = new AbortController()
    const ctx = {
      config: on.config,
      id: randomBytes(16).toString('hex'),
      signal: AbortSignal.any([abort.signal, c.req.raw.signal]),
    }
    if (!request.stream) return c.json((await op.answer(model, request, ctx)) as object)
    const describe = async (err: unknown) => {
      const { response, unexpected } = errorResponse(err, 'openai', c.get('requestId'))
      if (unexpected) on.app.meta.log.error({ err, requestId: c.get('requestId') }, 'a stream broke')
      return response.json()
    }
    const chunks = await op.stream(model, request, ctx)
    return eventStream(tracked(on, chunks), abort, describe)
  })
}

type Here = Exclude<Served, { kind: 'upstream' }>
type Handler = (c: Context<AppEnv>, served: Here, body: unknown) => Promise<Response> | Response
interface RouteInfo {
  path: string
  id: string
  summary: string
  body?: z.ZodType
  response?: z.ZodType
  /** The error for a model that does not exist, where it says more than the general one. */
  missing?: (model: string) => ApiError
}

// Not route(): an upstream may take fields and values that we do not, so the body is validated after the model is known.
function register(on: GenerateRoutes, { missing, ...info }: RouteInfo, handler: Handler): void {
  const path = `/v1${info.path}`
  on.app.meta.routes.push({ ...info, method: 'POST', path, pattern: new RegExp(`^${path}/?$`), status: 200 })
  on.app.post(path, async (c) => {
    c.set('route', path)
    return on.track(
      (async () => {
        const body = (await readJson(c, BODY_LIMIT)) as Record<string, unknown>
        const { model } = validate(named, body)
        const served = await on.served.resolve(model).catch((err: unknown) => {
          const isMissing = err instanceof ApiError && err.code === 'MODEL_NOT_FOUND'
          throw isMissing && missing ? missing(model) : err
        })
        if (served.kind !== 'upstream') return handler(c, served, body)
        const { headers, signal } = c.req.raw
        return proxy({ served, path: info.path, body, headers, signal, send: on.send })
      })(),
    )
  })
}

/** A stream is in work until its last chunk is taken. */
function tracked<T>(on: GenerateRoutes, chunks: AsyncGenerator<T>): AsyncGenerator<T> {
  let done = () => {}
  void on.track(
    new Promise<void>((resolve) => {
      done = resolve
    }),
  )
  return (async function* () {
    try {
      yield* chunks
    } finally {
      done()
    }
  })()
}
