// SPDX-License-Identifier: Apache-2.0

/**
 * Compiles templates that only insert values, such as `{{ item.question | trim }}`: they are rendered here, without
 * a process of their own. Gives undefined for any other template.
 */
export function compileSimple(template: string): ((context: Record<string, unknown>) => string) | undefined {
  if (template.includes('{%') || template.includes('{#')) return undefined
  // Jinja drops one line end at the end of a template.
  const text = template.replace(/\n$/, '')
  const parts: (string | Insertion)[] = []
  let at = 0
  while (at < text.length) {
    const open = text.indexOf('{{', at)
    if (open < 0) break
    const close = text.indexOf('}}', open)
    if (close < 0) return undefined
    const insertion = parseInsertion(text.slice(open + 2, close))
    if (!insertion) return undefined
    parts.push(text.slice(at, open), insertion)
    at = close + 2
  }
  const rest = text.slice(at)
  if (rest.includes('}}')) return undefined
  parts.push(rest)
  return (context) => parts.map((part) => (typeof part === 'string' ? part : render(part, context))).join('')
}

interface Insertion {
  path: (string | number)[]
  filters: string[]
}

const FILTERS: Record<string, (value: unknown) => unknown> = {
  trim: (value) => toText(value).trim(),
  lower: (value) => toText(value).toLowerCase(),
  upper: (value) => toText(value).toUpperCase(),
  string: toText,
  tojson: (value) => pythonJson(value ?? null),
}
const WORDS = ['true', 'false', 'none', 'True', 'False', 'None', 'not', 'and', 'or', 'in', 'is', 'if', 'else']
const STEP = /^(?:\.([A-Za-z_]\w*)|\[\s*(?:(\d+)|'([^'\\]*)'|"([^"\\]*)")\s*\])/

function parseInsertion(source: string): Insertion | undefined {
  const [expression = '', ...filters] = source.split('|').map((part) => part.trim())
  if (!filters.every((name) => Object.hasOwn(FILTERS, name))) return undefined
  const head = /^[A-Za-z_]\w*/.exec(expression)?.[0]
  if (head === undefined || WORDS.includes(head)) return undefined
  const path: (string | number)[] = [head]
  for (let rest = expression.slice(head.length); rest !== ''; ) {
    const step = STEP.exec(rest)
    if (!step) return undefined
    const [whole, name, index, single, double] = step
    path.push(index === undefined ? (name ?? single ?? double ?? '') : Number(index))
    rest = rest.slice(whole.length)
  }
  return { path, filters }
}

function render({ path, filters }: Insertion, context: Record<string, unknown>): string {
  let value: unknown = context
  for (const step of path) {
    const isReadable = typeof value === 'object' && value !== null && Object.hasOwn(value, step)
    value = isReadable ? (value as Record<string | number, unknown>)[step] : undefined
  }
  for (const name of filters) value = FILTERS[name]?.(value)
  return toText(value)
}

/** A value as Jinja writes it. */
export function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  return typeof value === 'object' ? pythonJson(value) : String(value)
}

/** JSON with the spaces that Python's json.dumps puts after `,` and `:`. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${pythonJson(inner)}`)
    return `{${fields.join(', ')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
