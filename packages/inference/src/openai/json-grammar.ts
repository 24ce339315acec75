// SPDX-License-Identifier: Apache-2.0

/** A schema that no grammar can enforce; the message says which keyword. */
export class SchemaError extends Error {
  override name = 'SchemaError'
}

type Schema = Record<string, unknown>

const PRIMITIVES: Record<string, string> = {
  value: 'object | array | string | number | boolean | null',
  object: '"{" (member (", " member)*)? "}"',
  member: 'string ": " value',
  array: '"[" (value (", " value)*)? "]"',
  string: '"\\"" char* "\\""',
  char: '[^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4})',
  number: 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?',
  integer: '"-"? natural',
  natural: '"0" | [1-9] [0-9]{0,15}',
  boolean: '"true" | "false"',
  null: '"null"',
  date: '"\\"" day "\\""',
  time: '"\\"" clock "\\""',
  'date-time': '"\\"" day "T" clock "\\""',
  day: '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])',
  clock:
    '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] [01] [0-9] ":" [0-5] [0-9])',
  uuid: '"\\"" [0-9a-f]{8} ("-" [0-9a-f]{4}){3} "-" [0-9a-f]{12} "\\""',
}
const FORMATS = ['date', 'time', 'date-time', 'uuid']

/** Keywords that constrain a value in ways a grammar of this kind does not express. */
const NOT_ENFORCED = [
  ...['pattern', 'not', 'if', 'contains', 'uniqueItems', 'multipleOf', 'patternProperties', 'propertyNames'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minProperties', 'maxProperties'],
  ...['dependentRequired', 'dependentSchemas', 'unevaluatedProperties', 'unevaluatedItems'],
]
const MAX_DEPTH = 64
const MAX_SIZE = 256 * 1024
/** llama.cpp refuses larger repetitions; a limit beyond it is as good as none. */
const MAX_REPEAT = 1000

/**
 * Builds a GBNF grammar from JSON schemas. JSON is written with `, ` and `: ` between parts, as chat templates render
 * it, so that the model goes on as it has read. Keywords that cannot be enforced throw when `strict`, else they are
 * left out. Optional properties may be absent; properties that are not named are allowed only where the schema says so.
 */
export class GrammarBuilder {
  #rules = new Map<string, string>()
  #strict: boolean
  #root: Schema = {}
  #size = 0

  constructor(options: { strict?: boolean } = {}) {
    this.#strict = options.strict ?? false
  }

  /** Adds the rules of a schema and returns the expression that stands for a value of it. */
  schema(schema: Schema): string {
    this.#root = schema
    // Definitions of one schema are not those of the next.
    this.#refs.clear()
    return this.#visit(schema, 0)
  }

  /** The expression of any JSON value of a type, such as `object`. */
  primitive(name: string): string {
    this.#need(name)
    return name
  }

  /** The whole grammar, with `root` as its start. */
  build(root: string): string {
    return [`root ::= ${root}`, ...[...this.#rules].map(([name, body]) => `${name} ::= ${body}`)].join('\n')
  }

  #refs = new Map<string, string>()

  #add(body: string): string {
    this.#size += body.length
    if (this.#size > MAX_SIZE) throw new SchemaError('it is too large')
    const name = `r${this.#rules.size}`
    this.#rules.set(name, body)
    return name
  }

  #need(name: string): void {
    const body = PRIMITIVES[name]
    if (body === undefined || this.#rules.has(name)) return
    this.#rules.set(name, body)
    const words = body.replace(/"(\\.|[^"\\])*"|\[(\\.|[^\]\\])*\]/g, ' ').match(/[a-z][a-z-]*/g) ?? []
    for (const word of words) this.#need(word)
  }

  #visit(schema: unknown, depth: number): string {
    if (depth > MAX_DEPTH) throw new SchemaError(`it is nested over ${MAX_DEPTH} deep`)
    if (schema === true) return this.primitive('value')
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      throw new SchemaError(`${JSON.stringify(schema)} stands where a schema has to be`)
    }
    const s = schema as Schema
    if (this.#strict) this.#refuse(s)
    if (typeof s.$ref === 'string') return this.#ref(s.$ref, depth)
    if ('const' in s) return literal(toJson(s.const))
    if (Array.isArray(s.enum)) return this.#add(alternatives(s.enum.map((v) => literal(toJson(v)))))
    const choices = s.anyOf ?? s.oneOf
    if (Array.isArray(choices)) {
      return this.#add(alternatives(choices.map((choice) => this.#visit(choice, depth + 1))))
    }
    if (Array.isArray(s.allOf)) return this.#visit(mergeAll(s, s.allOf), depth + 1)
    return this.#typed(s, depth)
  }

  #refuse(s: Schema): void {
    const bad = NOT_ENFORCED.find((keyword) => keyword in s)
    if (bad) throw new SchemaError(`the keyword ${bad} cannot be enforced`)
    if (typeof s.format === 'string' && !FORMATS.includes(s.format)) {
      throw new SchemaError(`the format ${s.format} cannot be enforced`)
    }
  }

  #ref(ref: string, depth: number): string {
    const known = this.#refs.get(ref)
    if (known) return known
    const name = this.#add('')
    this.#refs.set(ref, name)
    this.#rules.set(name, this.#visit(lookUp(this.#root, ref), depth + 1))
    return name
  }

  #typed(s: Schema, depth: number): string {
    const types = Array.isArray(s.type) ? s.type : [s.type ?? guessType(s)]
    const all = s.nullable === true && !types.includes('null') ? [...types, 'null'] : types
    const made = all.map((type) => this.#ofType(type, s, depth))
    return made.length === 1 && made[0] !== undefined ? made[0] : this.#add(alternatives(made))
  }

  #ofType(type: unknown, s: Schema, depth: number): string {
    switch (type) {
      case 'object':
        return this.#object(s, depth)
      case 'array':
        return this.#array(s, depth)
      case 'string':
        return this.#string(s)
      case 'number':
      case 'integer':
      case 'boolean':
      case 'null':
      case 'value':
        return this.primitive(type)
      default:
        throw new SchemaError(`there is no type ${JSON.stringify(type)}`)
    }
  }

  #string(s: Schema): string {
    if (typeof s.format === 'string' && FORMATS.includes(s.format)) return this.primitive(s.format)
    const times = repeat(s.minLength, s.maxLength)
    if (times === '*') return this.primitive('string')
    this.#need('char')
    return this.#add(`"\\"" char${times} "\\""`)
  }

  #array(s: Schema, depth: number): string {
    const first = Array.isArray(s.prefixItems) ? s.prefixItems.map((p) => this.#visit(p, depth + 1)) : []
    const more = s.items === false ? undefined : this.#visit(s.items ?? true, depth + 1)
    if (first.length > 0) {
      const tail = more && s.items !== undefined ? ` (", " ${more})*` : ''
      return this.#add(`"[" ${first.join(' ", " ')}${tail} "]"`)
    }
    if (!more || s.maxItems === 0) return '"[]"'
    const min = count(s.minItems) ?? 0
    const max = count(s.maxItems)
    const rest = repeat(Math.max(0, min - 1), max === undefined ? undefined : max - 1)
    const items = `${more} (", " ${more})${rest}`
    return this.#add(min > 0 ? `"[" ${items} "]"` : `"[" (${items})? "]"`)
  }

  #object(s: Schema, depth: number): string {
    const properties = Object.entries((s.properties ?? {}) as Schema)
    const extra = s.additionalProperties
    const open = extra === true || (typeof extra === 'object' && extra !== null)
    if (properties.length === 0 && !open) {
      return extra === false ? '"{}"' : this.primitive('object')
    }
    const required = new Set(Array.isArray(s.required) ? s.required : [])
    const member = ([key, value]: [string, unknown]) =>
      this.#add(`${literal(`${toJson(key)}: `)} ${this.#visit(value, depth + 1)}`)
    const needed = properties.filter(([key]) => required.has(key)).map(member)
    const optional = properties.filter(([key]) => !required.has(key)).map((entry) => `${member(entry)}`)
    let others = ''
    if (open) {
      this.#need('string')
      others = this.#add(`string ": " ${this.#visit(extra, depth + 1)}`)
    }
    return this.#add(`"{" ${memberList(needed, optional, others)} "}"`)
  }
}

/** Members with commas between those that are there; `needed` come first. */
function memberList(needed: string[], optional: string[], others: string): string {
  const after = (from: number) => {
    const rest = optional.slice(from).map((m) => ` (", " ${m})?`)
    return rest.join('') + (others ? ` (", " ${others})*` : '')
  }
  if (needed.length > 0) return needed.join(' ", " ') + after(0)
  const starts = optional.map((m, i) => m + after(i + 1))
  if (others) starts.push(`${others} (", " ${others})*`)
  return `(${starts.join(' | ')})?`
}

function guessType(s: Schema): string {
  if ('properties' in s || 'required' in s || 'additionalProperties' in s) return 'object'
  if ('items' in s || 'prefixItems' in s) return 'array'
  if ('minLength' in s || 'maxLength' in s || 'pattern' in s || 'format' in s) return 'string'
  return 'value'
}

function mergeAll(s: Schema, parts: unknown[]): Schema {
  const { allOf: _, ...own } = s
  const all = [...parts, ...(Object.keys(own).length > 0 ? [own] : [])] as Schema[]
  if (all.length === 1) return all[0] ?? {}
  if (all.some((p) => typeof p !== 'object' || p === null || '$ref' in p || 'anyOf' in p || 'enum' in p)) {
    throw new SchemaError('allOf is enforced for plain objects only')
  }
  return {
    ...Object.assign({}, ...all),
    properties: Object.assign({}, ...all.map((p) => p.properties ?? {})),
    required: all.flatMap((p) => (Array.isArray(p.required) ? p.required : [])),
  }
}

function lookUp(root: Schema, ref: string): unknown {
  if (!ref.startsWith('#')) throw new SchemaError(`${ref} is not inside the schema`)
  let at: unknown = root
  for (const part of ref.slice(1).split('/').filter(Boolean)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Schema)[key] : undefined
  }
  if (at === undefined) throw new SchemaError(`${ref} is not there`)
  return at
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined
}

function repeat(min: unknown, max: unknown): string {
  const low = Math.min(count(min) ?? 0, MAX_REPEAT)
  const high = count(max)
  if (high === undefined || high > MAX_REPEAT) return low === 0 ? '*' : `{${low},}`
  if (high < low) throw new SchemaError(`a length cannot be at least ${low} and at most ${high}`)
  return `{${low},${high}}`
}

const alternatives = (all: string[]) => {
  if (all.length === 0) throw new SchemaError('it allows no value')
  return all.join(' | ')
}

/** JSON with a space after `,` and `:`, as Python and chat templates write it. */
function toJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toJson).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${toJson(inner)}`)
    .join(', ')}}`
}

/** A GBNF string literal of exactly this text. */
export function literal(text: string): string {
  const escaped = text.replace(/[\\"\p{Cc}]/gu, (c) =>
    c === '\\' || c === '"' ? `\\${c}` : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  )
  return `"${escaped}"`
}
