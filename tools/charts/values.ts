// SPDX-License-Identifier: Apache-2.0
import { isMap, isScalar, LineCounter, type Pair, parseDocument, type YAMLMap } from 'yaml'

type Schema = Record<string, unknown>

/** One key of a chart's values.yaml: its path, what its comment says, and its default. */
export interface Value {
  path: string
  description: string
  default: unknown
  /** Schema that the comment gives, where the default cannot tell it. */
  schema?: Schema
  children: Value[]
}

/** Descriptions of keys that mean the same everywhere; a comment beside the key replaces them. */
const COMMON: Record<string, string> = {
  repository: 'Image without its tag.',
  tag: 'Tag of the image.',
  digest: 'Digest (`sha256:…`) that replaces the tag.',
  resources: 'Requests and limits.',
  storageClass: 'Storage class; empty takes global.storageClass.',
}

/** A quantity as Kubernetes reads it: `500m`, `2`, `1.5Gi`. */
const QUANTITY = '^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$'

/** Names of resources that the API server takes: its own, and those with a domain, such as `nvidia.com/gpu`. */
const RESOURCE_NAMES = '^(cpu|memory|ephemeral-storage|hugepages-.+|[^/]+/[^/]+)$'

/** Requests and limits of a container. */
const RESOURCES: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: Object.fromEntries(
    ['requests', 'limits'].map((key) => [
      key,
      {
        type: 'object',
        additionalProperties: false,
        patternProperties: {
          [RESOURCE_NAMES]: { type: ['string', 'number'], pattern: QUANTITY, minimum: 0 },
        },
      },
    ]),
  ),
}

/** What a key of this name must look like, in every chart. */
const PATTERNS: Record<string, string> = {
  digest: '^(sha256:[0-9a-f]{64})?$',
  size: QUANTITY,
}

/** An image as charts take it; custom resources take the last two as well. */
const IMAGE: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    repository: { type: 'string' },
    tag: { type: 'string' },
    digest: { type: 'string' },
    pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
    pullSecrets: { type: 'array', items: { type: 'string' } },
  },
}

/** Reads values.yaml with the comments right above its keys. */
export function readValues(text: string): Value[] {
  const lines = text.split('\n')
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter })
  const commentAbove = (pair: Pair): string[] => {
    const start = isScalar(pair.key) ? (pair.key.range?.[0] ?? 0) : 0
    const comment: string[] = []
    for (let line = counter.linePos(start).line - 2; line >= 0; line--) {
      const match = /^\s*#\s?(.*)$/.exec(lines[line] ?? '')
      if (!match) break
      comment.unshift(match[1] ?? '')
    }
    return comment
  }
  const readMap = (map: YAMLMap, parent: string): Value[] =>
    map.items.map((pair) => {
      const key = String(isScalar(pair.key) ? pair.key.value : pair.key)
      const path = parent ? `${parent}.${key}` : key
      const comment = commentAbove(pair)
      const schema = markedSchema(comment)
      const children = !schema && isMap(pair.value) ? readMap(pair.value, path) : []
      const said = comment.filter((line) => !line.startsWith('@')).join(' ')
      const description = said || (children.length > 0 ? '' : (COMMON[key] ?? ''))
      return { path, description, default: toJs(pair.value), schema, children }
    })
  return isMap(document.contents) ? readMap(document.contents, '') : []
}

function markedSchema(comment: string[]): Schema | undefined {
  const marked = comment.find((line) => line.startsWith('@schema '))
  return marked ? (JSON.parse(marked.slice('@schema '.length)) as Schema) : undefined
}

const toJs = (node: unknown): unknown =>
  node && typeof node === 'object' && 'toJSON' in node ? (node as { toJSON(): unknown }).toJSON() : node

/** The closed JSON Schema of the values: what is not in values.yaml is refused. `subchartNames` have keys of their own. */
export function valuesSchema(values: Value[], subchartNames: readonly string[] = []): Schema {
  const globals = { type: 'object', additionalProperties: false, properties: { global: { type: 'object' } } }
  const subcharts = subchartNames.map((name) => [
    name,
    { ...globals, description: 'What Helm hands to the subchart.' },
  ])
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $comment: 'Made from values.yaml by `node tools/run.mjs tools/chart-values.ts`; do not edit.',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries([...values.map(property), ...subcharts]),
    $defs: { resources: RESOURCES, image: IMAGE },
  }
}

function property(value: Value): [string, Schema] {
  const key = value.path.split('.').at(-1) ?? value.path
  const about = value.description ? { description: value.description } : {}
  if (value.schema?.$ref) return [key, value.schema]
  if (value.schema) return [key, { ...value.schema, ...about }]
  if (value.children.length > 0) {
    const properties = Object.fromEntries(value.children.map(property))
    return [key, { type: 'object', additionalProperties: false, properties, ...about }]
  }
  const pattern = PATTERNS[key] ? { pattern: PATTERNS[key] } : {}
  return [key, { type: typeName(value), ...pattern, ...about }]
}

function typeName(value: Value): string {
  const type = typeof value.default
  if (type === 'boolean' || type === 'string') return type
  if (type === 'number') return Number.isInteger(value.default) ? 'integer' : 'number'
  throw new Error(`${value.path}: its default does not tell its type, add a comment \`@schema {…}\``)
}

/** Every leaf of the values as a table in Markdown. */
export function valuesTable(values: Value[]): string {
  const rows = leaves(values).map(
    (value) => `| \`${value.path}\` | \`${JSON.stringify(value.default)}\` | ${cell(value.description)} |`,
  )
  return ['| key | default | |', '|---|---|---|', ...rows].join('\n')
}

/** The keys that can be set, with parents' comments left out. */
export function leaves(values: Value[]): Value[] {
  return values.flatMap((value) => (value.children.length > 0 ? leaves(value.children) : [value]))
}

const cell = (text: string) => text.replaceAll('|', '\\|')

/** Puts text between `<!-- name -->` and `<!-- /name -->` of a page; undefined when the page has no such place. */
export function between(page: string, name: string, text: string): string | undefined {
  const start = page.indexOf(`<!-- ${name}`)
  const open = page.indexOf('-->', start)
  const close = page.indexOf(`<!-- /${name} -->`)
  if (start < 0 || open < 0 || close < open) return undefined
  return `${page.slice(0, open + 3)}\n${text}\n${page.slice(close)}`
}
