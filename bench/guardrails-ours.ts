// SPDX-License-Identifier: Apache-2.0
import { compileFiles, createServices, type Message, respond, startStream } from '@open-nemo/guardrails'
import { type Case, full, MODEL_TYPES, PROMPTS } from './guardrails-cases.ts'

/** What an engine says to a case. */
export interface Told {
  id: string
  text?: string
  error?: string
}

/** This engine on a case; the model is scripted as it is for the other. */
export async function answerHere(one: Case): Promise<Told> {
  const services = createServices({
    nimUrl: 'http://nim/v1',
    fetch: scripted(one) as typeof fetch,
    embed: async (texts) => texts.map(vector),
    perplexity: async (text) => perplexity(one, text),
  })
  try {
    const models = MODEL_TYPES.map((type) => `  - {type: ${type}, engine: nim, model: m}\n`).join('')
    const server = one.actions ? 'actions_server_url: http://actions\n' : ''
    const config = compileFiles(
      { 'config.yml': `models:\n${models}${PROMPTS}${server}${one.yaml}`, 'rails.co': one.colang ?? '' },
      services,
    )
    const { user = '' } = full(one)
    const options = one.rails ? { rails: one.rails } : undefined
    const ask = (messages: Message[]) => ({ config, messages, context: one.context, options })
    if (one.turns) {
      let messages: Message[] = []
      const said: string[] = []
      for (const content of one.turns) {
        messages = [...messages, { role: 'user', content }]
        const { text } = await respond(ask(messages), services)
        said.push(text)
        messages = [...messages, { role: 'assistant', content: text }]
      }
      return { id: one.id, text: said.join(' / ') }
    }
    const messages: Message[] = [...(one.messages ?? [{ role: 'user', content: user }])]
    if (one.assistant) messages.push({ role: 'assistant', content: one.assistant })
    if (one.stream) return { id: one.id, text: await streamed(ask(messages), services) }
    const { text, answer } = await respond(ask(messages), services)
    const calls = answer?.choices[0]?.message.tool_calls ?? []
    return {
      id: one.id,
      text: calls.length ? `calls ${calls.map((c) => c.function?.name).join(', ')}` : text,
    }
  } catch (err) {
    return { id: one.id, error: String(err) }
  } finally {
    await services.regex.close()
  }
}

async function streamed(...request: Parameters<typeof startStream>): Promise<string> {
  let text = ''
  for await (const event of (await startStream(...request)).events) {
    if (event.type === 'answer') text += event.text
    if (event.type === 'stopped') {
      return event.block.failed ? `${text} [failed]` : `${text} [stopped by ${event.block.rail}]`
    }
    if (event.type !== 'chunk') continue
    const [choice] = (event.chunk.choices ?? []) as { delta?: { content?: string } }[]
    text += choice?.delta?.content ?? ''
  }
  return text
}

/** The model and the actions server of a case. */
function scripted(one: Case) {
  const used = new Map<string, number>()
  const next = <T>(kind: string, values: readonly T[]): T | undefined => {
    const at = used.get(kind) ?? 0
    used.set(kind, at + 1)
    return values[Math.min(at, values.length - 1)]
  }
  const { judge = '', main = '' } = full(one)
  const say = (asked: string): string | number => {
    if (asked.startsWith('JUDGE')) {
      if (one.judgeYes === undefined) return judge
      return asked.includes(one.judgeYes) ? 'Yes' : 'No'
    }
    const task = asked.startsWith('TASK ') ? (asked.split(/\s/)[1] ?? '') : 'general'
    return next(task, one.says?.[task] ?? [main]) ?? ''
  }
  return async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const body = JSON.parse(String(init?.body))
    if (String(url).startsWith('http://actions/')) {
      const name = String(body.action_name)
      const camel = `${name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Action`
      const values = one.actions?.[name] ?? one.actions?.[camel] ?? []
      return acted(next(`action ${name}`, values), body.action_parameters)
    }
    const asked = String(body.messages[0].content)
    const said = say(asked)
    if (body.stream && one.stream) return sse(one.stream)
    if (typeof said === 'number') return Response.json({ error: { message: 'down' } }, { status: said })
    const message: Message = { role: 'assistant', content: said }
    if (one.calls && !/^(JUDGE|TASK)/.test(asked)) {
      message.content = ''
      message.tool_calls = one.calls.map((c, i) => ({
        id: `c${i}`,
        type: 'function',
        function: { name: c.name, arguments: JSON.stringify(c.arguments) },
      }))
    }
    return Response.json({ choices: [{ index: 0, message, finish_reason: 'stop' }] })
  }
}

function acted(value: unknown, parameters: Record<string, unknown>): Response {
  const told = value as { fail?: boolean; echo?: string } | null
  if (typeof told === 'object' && told?.fail) return Response.json({ status: 'failed' })
  const result = typeof told === 'object' && told?.echo ? parameters[told.echo] : value
  return Response.json({ status: 'success', result })
}

function sse(chunks: readonly string[]): Response {
  const event = (delta: object, finish_reason: string | null) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  const parts = [...chunks.map((content) => event({ content }, null)), event({}, 'stop'), 'data: [DONE]\n\n']
  return new Response(parts.join(''), { headers: { 'content-type': 'text/event-stream' } })
}

/** Words counted in 64 places; bench/python/guardrails_oracle.py does the same. */
function vector(text: string): number[] {
  const counts = new Array<number>(64).fill(0)
  for (const word of text.toLowerCase().match(/[a-z0-9]+/g) ?? []) {
    const place = [...word].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 64
    counts[place] = (counts[place] ?? 0) + 1
  }
  return counts
}

function perplexity({ user, perplexity: scores }: Case, text: string): number {
  if (!scores) throw new Error('no scores are given')
  if (text === user) return scores.whole
  return text.includes(scores.word ?? '\n') ? (scores.edge ?? 20) : 20
}
