// SPDX-License-Identifier: Apache-2.0

import {
  checkResponse,
  guardedChatRequest,
  guardedChatResponse,
  guardedCompletionRequest,
  guardedCompletionResponse,
} from '@open-nemo/contract/guardrails/schemas.ts'
import { servedModel } from '@open-nemo/contract/inference/schemas.ts'
import { type App, errorResponse, type RouteInput, route } from '@open-nemo/runtime'
import { eventStream } from '@open-nemo/runtime/http/sse.ts'
import { z } from 'zod'
import type { ConfigCatalogue } from '../configs/catalogue.ts'
import type { EngineServices } from '../engine/compiled.ts'
import { checkTurn, respond, type TurnRequest } from '../engine/engine.ts'
import { startStream } from '../engine/stream.ts'
import type { Message } from '../engine/types.ts'
import { operationUrl } from '../models/client.ts'
import { failureText, ModelError, refusalText } from '../models/errors.ts'
import { generationLog, presentChat, presentCompletion } from './present.ts'
import { type GuardedBody, isStreamed, modelParameters, optionsOf, requestConfig } from './request.ts'
import { streamChunks } from './stream.ts'

/** The models of any NIM: only what all of them tell. */
const modelList = z.object({
  object: z.literal('list'),
  data: z.array(servedModel.pick({ id: true, object: true, created: true, owned_by: true })),
})

export interface GuardedRoutes {
  app: App
  configs: ConfigCatalogue
  services: EngineServices
  defaultId: string
  bodyLimit: number
  /** Counts requests in work, so that stopping can wait for them. */
  track: <T>(work: Promise<T>) => Promise<T>
}

const KEY_HEADER = 'x-model-authorization'

/** The operations that guard: checks, chat, completions, and the list of models behind them. */
export function registerGuarded(on: GuardedRoutes): void {
  const { app, bodyLimit } = on
  route(
    app,
    {
      method: 'POST',
      path: '/v1/guardrail/checks',
      id: 'check_guardrails',
      summary: 'Run the rails on a conversation without an answer',
      body: guardedChatRequest,
      response: checkResponse,
      bodyLimit,
    },
    (input) => on.track(check(on, input)),
  )
  route(
    app,
    {
      method: 'POST',
      path: '/v1/guardrail/chat/completions',
      id: 'create_guarded_chat_completion',
      summary: 'Chat completion behind the rails',
      body: guardedChatRequest,
      response: guardedChatResponse,
      bodyLimit,
    },
    (input) => on.track(generate(on, input, input.body.messages as Message[], 'chat')),
  )
  route(
    app,
    {
      method: 'POST',
      path: '/v1/guardrail/completions',
      id: 'create_guarded_completion',
      summary: 'Completion behind the rails',
      body: guardedCompletionRequest,
      response: guardedCompletionResponse,
      bodyLimit,
    },
    (input) => {
      const { prompt } = input.body
      const content = typeof prompt === 'string' ? prompt : (prompt[0] ?? '')
      return on.track(generate(on, input, [{ role: 'user', content }], 'text'))
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: '/v1/guardrail/models',
      id: 'list_guardrail_models',
      summary: 'Models that the NIM serves',
      response: modelList,
    },
    ({ c }) => listModels(on, c.req.header(KEY_HEADER)),
  )
}

async function turnRequest(
  on: GuardedRoutes,
  { body, c }: RouteInput<GuardedBody>,
  messages: Message[],
  signal: AbortSignal,
): Promise<{ request: TurnRequest; ids: string[] }> {
  const { config, ids } = await requestConfig(body, on.configs, on.defaultId)
  const request = {
    config,
    messages,
    model: body.model || undefined,
    modelKey: c.req.header(KEY_HEADER),
    parameters: modelParameters(body),
    options: optionsOf(body),
    context: body.guardrails?.context,
    signal,
  }
  return { request, ids }
}

async function check(on: GuardedRoutes, input: RouteInput<GuardedBody>): Promise<unknown> {
  const messages = input.body.messages as Message[]
  const { request, ids } = await turnRequest(on, input, messages, input.c.req.raw.signal)
  const { turn, statuses, block } = await seen(checkTurn(request, on.services))
  const log = generationLog(turn, { activated_rails: true, ...optionsOf(input.body)?.log })
  return {
    status: block ? 'blocked' : 'success',
    rails_status: statuses,
    guardrails_data: {
      config_ids: ids,
      log,
      ...(turn.failures.length ? { failed_rails: turn.failures } : {}),
    },
  }
}

async function generate(
  on: GuardedRoutes,
  input: RouteInput<GuardedBody>,
  messages: Message[],
  kind: 'chat' | 'text',
): Promise<unknown> {
  const abort = new AbortController()
  const signal = AbortSignal.any([abort.signal, input.c.req.raw.signal])
  const { request, ids } = await turnRequest(on, input, messages, signal)
  if (isStreamed(input.body)) {
    const streamed = await seen(startStream(request, on.services))
    return eventStream(streamChunks(streamed, kind), abort, (err) => describe(on, input, err))
  }
  const outcome = await seen(respond(request, on.services))
  const options = optionsOf(input.body)
  const shown = { outcome, ids, options, returnChoice: input.body.guardrails?.return_choice ?? false }
  return kind === 'chat' ? presentChat(shown) : presentCompletion(shown)
}

/** Errors of the main model as the errors that callers see. */
async function seen<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (err) {
    if (err instanceof ModelError) throw err.toApiError()
    throw err
  }
}

async function describe(on: GuardedRoutes, { c }: RouteInput<unknown>, err: unknown): Promise<unknown> {
  const known = err instanceof ModelError ? err.toApiError() : err
  const { response, unexpected } = errorResponse(known, 'openai', c.get('requestId'))
  if (unexpected) on.app.meta.log.error({ err, requestId: c.get('requestId') }, 'a stream broke')
  return response.json()
}

async function listModels(on: GuardedRoutes, key: string | undefined): Promise<unknown> {
  const { fetch, models } = on.services
  const authorization = key ?? models.nimKey
  let response: Response
  try {
    response = await fetch(operationUrl(models.nimUrl, '/models'), {
      headers: authorization
        ? { authorization: /^bearer /i.test(authorization) ? authorization : `Bearer ${authorization}` }
        : {},
      signal: AbortSignal.timeout(30_000),
    })
  } catch (cause) {
    throw new ModelError({ model: 'list of the NIM', reason: failureText(cause), cause }).toApiError()
  }
  if (!response.ok) {
    const reason = refusalText(response.status, await response.text())
    throw new ModelError({ model: 'list of the NIM', status: response.status, reason }).toApiError()
  }
  const { data } = (await response.json()) as { data?: Record<string, unknown>[] }
  return {
    object: 'list',
    data: (data ?? []).map(({ id, created, owned_by }) => ({
      id,
      object: 'model',
      created: created ?? 0,
      owned_by: owned_by ?? '',
    })),
  }
}
