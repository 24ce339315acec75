// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createLimiter } from '../model/limiter.ts'
import type { FromChild, ToChild } from './protocol.ts'
import { compileSimple } from './simple.ts'
import { type TemplateEngine, TemplateError } from './types.ts'

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))
const MEMORY_MB = 128
const START_MS = 60_000
const MAX_TEMPLATE = 1024 * 1024

type Order =
  | { template: string; context?: Record<string, unknown> }
  | { pattern: string; flags: string; text: string }

/**
 * Renders templates of users. Those that only insert values are rendered here; all others in a child process without
 * environment, which is killed when a template needs longer than `timeoutMs` or more than its memory. The process
 * starts with the first such template.
 */
export function createTemplateEngine(options: { timeoutMs?: number } = {}): TemplateEngine {
  const { timeoutMs = 5000 } = options
  const simple = new Map<string, ReturnType<typeof compileSimple>>()
  const oneByOne = createLimiter(1)
  let child: ChildProcess | undefined
  let isClosed = false
  let nextId = 1

  function simpleOf(template: string) {
    if (simple.has(template)) return simple.get(template)
    const compiled = compileSimple(template)
    if (simple.size >= 500) simple.clear()
    simple.set(template, compiled)
    return compiled
  }

  async function start(): Promise<ChildProcess> {
    if (child?.connected) return child
    if (isClosed) throw new TemplateError('the service is stopping')
    const started = fork(CHILD, [], {
      env: {},
      execArgv: ['--no-warnings', `--max-old-space-size=${MEMORY_MB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'json',
    })
    started.on('error', () => undefined)
    started.once('exit', () => {
      if (child === started) child = undefined
    })
    child = started
    // The first parse tells that it has started, so that its start does not count as the template's time.
    await ask(started, { id: nextId++, template: '' }, START_MS)
    idle(started)
    return started
  }

  /** A process that waits for work does not keep this one alive. */
  function idle(one: ChildProcess): void {
    one.unref()
    one.channel?.unref()
  }

  function ask(to: ChildProcess, message: ToChild, limitMs: number): Promise<FromChild> {
    const what = 'pattern' in message ? 'the regular expression' : 'the template'
    return new Promise((resolve, reject) => {
      to.ref()
      to.channel?.ref()
      const end = (act: () => void) => {
        clearTimeout(timer)
        to.off('message', answered)
        to.off('exit', died)
        idle(to)
        act()
      }
      const answered = (answer: FromChild) => {
        if (answer.id !== message.id) return
        if (answer.error === undefined) end(() => resolve(answer))
        else end(() => reject(new TemplateError(`${what} cannot be used: ${answer.error}`)))
      }
      const died = () =>
        end(() => reject(new TemplateError(`${what} needs more than ${MEMORY_MB} MiB of memory`)))
      const timer = setTimeout(() => {
        to.kill('SIGKILL')
        end(() => reject(new TemplateError(`${what} takes longer than ${limitMs / 1000} s`)))
      }, limitMs)
      to.on('message', answered)
      to.once('exit', died)
      to.send(message, (err) => {
        if (err) died()
      })
    })
  }

  const inChild = (order: Order) =>
    oneByOne(async () => await ask(await start(), { id: nextId++, ...order }, timeoutMs))

  async function renderInChild(template: string, context?: Record<string, unknown>): Promise<string> {
    if (template.length > MAX_TEMPLATE) throw new TemplateError('the template is longer than 1 Mi characters')
    return (await inChild({ template, ...(context ? { context } : {}) })).text ?? ''
  }

  async function render(template: string, context: Record<string, unknown>): Promise<string> {
    const compiled = simpleOf(template)
    return compiled ? compiled(context) : await renderInChild(template, context)
  }

  async function renderAll(template: unknown, context: Record<string, unknown>): Promise<unknown> {
    if (typeof template === 'string') return await render(template, context)
    if (Array.isArray(template)) {
      const out: unknown[] = []
      for (const one of template) out.push(await renderAll(one, context))
      return out
    }
    if (typeof template !== 'object' || template === null) return template
    const out: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(template)) out[key] = await renderAll(value, context)
    return out
  }

  return {
    async check(template) {
      if (!simpleOf(template)) await renderInChild(template)
    },
    render,
    renderAll,
    async match(pattern, text) {
      const order = { ...fromPython(pattern), text }
      return (await inChild(order)).match ?? null
    },
    async close() {
      isClosed = true
      child?.kill('SIGKILL')
    },
  }
}

/** A regular expression of Python's in JavaScript's spelling: named groups, flags in front, and the ends of the text. */
export function fromPython(pattern: string): { pattern: string; flags: string } {
  const [, letters = '', rest = pattern] = /^\(\?([aimsux]+)\)([\s\S]*)$/.exec(pattern) ?? []
  const flags = [...new Set(letters)].filter((letter) => 'ims'.includes(letter)).join('')
  const spelled = rest
    .replaceAll('(?P<', '(?<')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replace(/\\A/g, '^')
    .replace(/\\Z/g, '$')
  return { pattern: spelled, flags }
}
