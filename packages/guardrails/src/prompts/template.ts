// SPDX-License-Identifier: Apache-2.0
import { parseTemplate, renderTemplate, TemplateLimitError } from '@open-nemo/runtime/templates/bounded.ts'

/** A compiled Jinja text. Values are inserted as they are and never read as templates themselves. */
export interface PromptTemplate {
  render(values: Record<string, unknown>): string
}

/** Filters that Colang prompts use, given as functions because the engine's own filters cannot be extended. */
export type PromptFilters = Record<string, (value: unknown) => unknown>

/** Compiles a prompt. Throws when it is no Jinja template. */
export function compileTemplate(source: string, filters: PromptFilters = {}): PromptTemplate {
  if (!/[{][{%#]/.test(source)) return { render: () => source }
  const names = Object.keys(filters)
  const program = parsed(names.length ? filtersAsCalls(source, names) : source)
  return {
    render(values) {
      const functions = Object.entries(filters).map(([name, filter]) => [
        `filter_${name}`,
        (value: unknown) => filter(unwrapped(value)),
      ])
      const plainValues = Object.entries(values).map(([name, value]) => [name, plain(value)])
      return renderTemplate(program, Object.fromEntries([...functions, ...plainValues]))
    },
  }
}

function parsed(source: string) {
  try {
    return parseTemplate(source)
  } catch (cause) {
    // some of the parser's errors are its own stumbles, which say little
    const isClear = cause instanceof SyntaxError || cause instanceof TemplateLimitError
    const reason = isClear ? `: ${cause.message}` : ''
    const start = source.trim().slice(0, 60)
    throw new Error(`the prompt "${start}" is not a Jinja template${reason}`, { cause })
  }
}

/** `{{ history | colang }}` becomes `{{ filter_colang(history) }}`. */
function filtersAsCalls(source: string, names: string[]): string {
  return source.replace(
    /\{\{(-?)((?:[^{}]|\{[^{]|\}(?!\}))*?)(-?)\}\}/g,
    (whole, open, body: string, close) => {
      const [value = '', ...chain] = body.split('|').map((part) => part.trim())
      if (!chain.some((f) => names.includes(f))) return whole
      let out = value
      for (const f of chain) out = names.includes(f) ? `filter_${f}(${out})` : `(${out} | ${f})`
      return `{{${open} ${out} ${close}}}`
    },
  )
}

/** What the interpreter can hold: no undefined, no class instances. */
function plain(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? null : value
  return JSON.parse(JSON.stringify(value))
}

/** A filter is handed the interpreter's own objects; this gives their plain values. */
function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped)
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [String(k), unwrapped(v)]))
  if (typeof value === 'object' && value !== null && 'type' in value && 'value' in value)
    return unwrapped(value.value)
  return value
}
