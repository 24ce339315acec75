// SPDX-License-Identifier: Apache-2.0
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { type ModelClient, ModelError, type Operation } from '../../model/types.ts'
import { answerHub, type HubContext } from './hub.ts'

/** What lm-eval is told of instead of the model and the hub. */
export interface Forwarder {
  url: string
  /** The only key that the child process has; it opens nothing but this. */
  token: string
  close(): Promise<void>
}

export interface ForwarderContext {
  client: ModelClient
  hub: HubContext
  log: (message: string) => void
}

const OPERATIONS: Record<string, Operation> = {
  '/v1/completions': 'completions',
  '/v1/chat/completions': 'chat/completions',
  '/tokenize': 'tokenize',
  '/detokenize': 'detokenize',
}
/** Begins the text that stands for an answer which did not come. */
export const NO_ANSWER = '\u{e000}no answer: '
/** The log-probability of each token of a text that was not scored. */
export const NO_SCORE = -1e9
/** So many failures before the first answer, and the endpoint counts as out of order. */
const HOPELESS = 8
const REFUSED = new Set([401, 403, 404, 405, 501])

/**
 * Listens on the loopback and passes lm-eval's requests on by the evaluator's own ways: with its hosts, keys, retries
 * and limits, none of which the child process knows. One request that fails for good does not end the run: its answer
 * is NO_ANSWER, and its sample is reported as failed.
 */
export async function startForwarder(ctx: ForwarderContext): Promise<Forwarder> {
  const token = randomBytes(24).toString('base64url')
  // Retries are counted where the forwarder was started.
  const here = AsyncLocalStorage.snapshot()
  const state = { answered: 0, failed: 0 }
  const server = createServer((request, response) => {
    here(() => handle(ctx, { token, state }, request, response)).catch((err: Error) => {
      if (!response.headersSent) reply(response, 502, { error: { message: err.message } })
      else response.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    token,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close').catch(() => undefined)
    },
  }
}

interface Session {
  token: string
  state: { answered: number; failed: number }
}

async function handle(
  ctx: ForwarderContext,
  session: Session,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  if (path.startsWith('/hub/')) {
    // What a hub sent elsewhere is asked for by a name that cannot be guessed, with or without the token.
    if (!path.startsWith('/hub/away/') && !isAllowed(request, session.token)) return reply(response, 401, {})
    return answerHub(ctx.hub, request, response)
  }
  if (!isAllowed(request, session.token)) return reply(response, 401, { error: { message: 'wrong token' } })
  const operation = OPERATIONS[path]
  if (path === '/tokenizer_info') return answer(response, () => ctx.client.get('tokenizer_info'))
  if (!operation || request.method !== 'POST') return reply(response, 404, {})
  const { model: _, ...body } = JSON.parse((await buffer(request)).toString('utf8')) as Record<
    string,
    unknown
  >
  if (operation === 'tokenize' || operation === 'detokenize') {
    return answer(response, () => ctx.client.post(operation, body))
  }
  return answer(response, async () => {
    try {
      const answered = await ctx.client.post(operation, body)
      session.state.answered++
      return answered
    } catch (err) {
      const substitute = substituteFor(operation, body, err, session)
      if (!substitute) throw err
      ctx.log(`a request failed and counts as wrong: ${(err as Error).message}`)
      return substitute
    }
  })
}

/** Stands for an answer that did not come; undefined when the whole run has to end. */
function substituteFor(
  operation: Operation,
  body: Record<string, unknown>,
  err: unknown,
  { state }: Session,
): Record<string, unknown> | undefined {
  if (!(err instanceof ModelError) || REFUSED.has(err.status ?? 0)) return undefined
  if (++state.failed >= HOPELESS && state.answered === 0) return undefined
  const text = NO_ANSWER + err.message.slice(0, 300)
  if (operation === 'chat/completions') {
    return { choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }] }
  }
  const prompts = promptsOf(body.prompt)
  if (!body.echo) return { choices: prompts.map((_, index) => ({ index, text, finish_reason: 'stop' })) }
  // How many tokens a text has is not known here.
  if (prompts.some((prompt) => typeof prompt === 'string')) return undefined
  return { choices: prompts.map((prompt, index) => ({ index, text: '', logprobs: unscored(prompt) })) }
}

function promptsOf(prompt: unknown): unknown[] {
  if (!Array.isArray(prompt)) return [prompt]
  return typeof prompt[0] === 'number' ? [prompt] : prompt
}

function unscored(prompt: unknown) {
  const tokens = [...(prompt as number[]), 0]
  return {
    tokens: tokens.map(String),
    token_logprobs: tokens.map((_, i) => (i === 0 ? null : NO_SCORE)),
    top_logprobs: tokens.map((_, i) => (i === 0 ? null : { '': 0 })),
    text_offset: tokens.map(() => 0),
  }
}

async function answer(response: ServerResponse, work: () => Promise<Record<string, unknown>>): Promise<void> {
  try {
    reply(response, 200, await work())
  } catch (err) {
    const status = err instanceof ModelError && err.status && err.status >= 400 ? err.status : 502
    reply(response, status, { error: { message: err instanceof Error ? err.message : String(err) } })
  }
}

function reply(response: ServerResponse, status: number, body: Record<string, unknown>): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function isAllowed(request: IncomingMessage, token: string): boolean {
  const given = Buffer.from(request.headers.authorization ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
