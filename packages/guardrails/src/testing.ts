// SPDX-License-Identifier: Apache-2.0
import type { ServiceContext } from '@open-nemo/runtime'
import { createMetrics, openMemoryDatabase, silentLogger } from '@open-nemo/runtime'
import { tracedFetch } from '@open-nemo/runtime/telemetry/http-spans.ts'
import { service } from './service.ts'

/** A request that the scripted model saw. */
export interface SeenCall {
  url: string
  // biome-ignore lint/suspicious/noExplicitAny: bodies are looked into freely by the tests
  body: any
  key: string | null
  aborted: () => boolean
}

/** What the model answers to a call: text, a whole body, a status, or texts one after the other when streamed. */
export type Script = (
  call: SeenCall,
) => string | string[] | number | Record<string, unknown> | Promise<string>

/** A fetch that answers as an OpenAI-compatible server would. */
export function scriptedModel(script: Script): { fetch: typeof globalThis.fetch; calls: SeenCall[] } {
  const calls: SeenCall[] = []
  const answer = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const body = init?.body ? JSON.parse(String(init.body)) : {}
    const signal = init?.signal
    const key = new Headers(init?.headers).get('authorization')
    const call = { url: String(input), body, key, aborted: () => signal?.aborted ?? false }
    calls.push(call)
    const stopped = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    stopped.catch(() => undefined)
    const said = await Promise.race([Promise.resolve(script(call)), stopped])
    if (typeof said === 'number')
      return Response.json({ error: { message: 'the model is down' } }, { status: said })
    if (body.stream) return streamed([said].flat().map(String), body.model)
    if (typeof said === 'object' && !Array.isArray(said)) return Response.json(said)
    return Response.json(chatBody([said].flat().join(''), body.model))
  }
  return { fetch: answer as typeof globalThis.fetch, calls }
}

const chatBody = (content: string, model: string) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model,
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop', logprobs: null }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
})

function streamed(texts: string[], model: string): Response {
  const chunk = (delta: object, finish: string | null) => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  })
  const pieces = texts.length === 1 ? ((texts[0] ?? '').match(/\S+\s*/g) ?? []) : texts
  const chunks = [...pieces.map((content) => chunk({ role: 'assistant', content }, null)), chunk({}, 'stop')]
  const lines = [...chunks.map((c) => JSON.stringify(c)), '[DONE]'].map((data) => `data: ${data}\n\n`)
  return new Response(lines.join(''), { headers: { 'content-type': 'text/event-stream' } })
}

/** Text of all messages of a call. */
export const said = (call: SeenCall): string =>
  (call.body.messages ?? []).map((m: { content: unknown }) => String(m.content)).join('\n')

/** The service on a scripted model. */
export async function startTestService(script: Script, env: Record<string, string> = {}) {
  const model = scriptedModel(script)
  const db = await openMemoryDatabase()
  const urls = {
    inference: 'http://nim.example',
    'data-store': 'http://store.example',
  } as ServiceContext['urls']
  const running = await service.start({
    name: 'guardrails',
    env,
    dataDir: '/nonexistent',
    cacheDir: '/nonexistent',
    db,
    fetch: tracedFetch(model.fetch),
    urls,
    publicUrls: urls,
    catalogue: {} as ServiceContext['catalogue'],
    log: silentLogger(),
    metrics: createMetrics(),
  })
  return {
    calls: model.calls,
    app: running.app,
    async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const text = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
      const response = await running.app.request(`/v1/guardrail${path}`, { method, headers, ...text })
      const raw = await response.text()
      // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by the tests
      const json: any = raw.startsWith('{') ? JSON.parse(raw) : undefined
      return { status: response.status, body: json, raw, headers: response.headers }
    },
    async stop() {
      await running.stop()
      await db.close()
    },
  }
}

/** The `data:` of each event of a stream, parsed. */
// biome-ignore lint/suspicious/noExplicitAny: events are looked into freely by the tests
export function events(raw: string): any[] {
  return raw
    .split('\n\n')
    .filter((e) => e.startsWith('data: ') && !e.includes('[DONE]'))
    .map((e) => JSON.parse(e.slice(6)))
}
