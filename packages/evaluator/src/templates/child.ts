// SPDX-License-Identifier: Apache-2.0
// Renders Jinja templates, and applies regular expressions, in a process of its own, which its parent kills when one takes too long or too much.
import { Template } from '@huggingface/jinja'
import { MAX_OUTPUT, type ToChild } from './protocol.ts'

const parsed = new Map<string, Template>()
const CACHED = 200

process.on('message', (message: ToChild) => {
  const { id } = message
  try {
    process.send?.('pattern' in message ? { id, match: find(message) } : { id, text: render(message) })
  } catch (err) {
    process.send?.({ id, error: err instanceof Error ? err.message.slice(0, 500) : String(err) })
  }
})
process.on('disconnect', () => process.exit(0))

function parse(template: string): Template {
  const known = parsed.get(template)
  if (known) return known
  const fresh = new Template(template)
  if (parsed.size >= CACHED) parsed.clear()
  parsed.set(template, fresh)
  return fresh
}

function render({ template, context }: { template: string; context?: Record<string, unknown> }): string {
  const found = parse(template)
  const text = context === undefined ? '' : found.render(context)
  if (text.length > MAX_OUTPUT) throw new Error(`its output is longer than ${MAX_OUTPUT} characters`)
  return text
}

function find({
  pattern,
  flags,
  text,
}: {
  pattern: string
  flags: string
  text: string
}): (string | null)[] | null {
  const found = new RegExp(pattern, flags).exec(text)
  return found ? Array.from(found, (group) => group ?? null) : null
}
