// SPDX-License-Identifier: Apache-2.0
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { type ColangSource, ConfigProblems, type Problem } from '../engine/types.ts'
import { mergeData } from './merge.ts'

/** The files of a configuration: path relative to its folder, with `/`, and its text. */
export type ConfigFiles = Record<string, string>

/** A configuration as read, before it is checked. */
export interface LoadedFiles {
  data: Record<string, unknown>
  sources: ColangSource[]
  /** Documents of the kb folder, for retrieval. */
  documents: { name: string; text: string }[]
  locate: Locate
}

/** Where a text stands in the files; `key` is the nearest mapping key above it, to tell equal texts apart. */
export type Locate = (text: string, key?: string) => { file: string; line?: number | undefined }

interface Place {
  text: string
  keys: string[]
  file: string
  line: number
}

/** Files that hold Python, which this engine does not run. */
const PYTHON = /(^|\/)[^/]+\.py$/

/**
 * Reads the files of a configuration: every *.yml and *.yaml is merged, every *.co is a Colang source, Markdown
 * under kb/ is knowledge. Throws ConfigProblems for YAML that does not parse and for Python.
 */
export function readConfigFiles(files: ConfigFiles): LoadedFiles {
  const problems: Problem[] = []
  const places: Place[] = []
  const sources: ColangSource[] = []
  const documents: LoadedFiles['documents'] = []
  let data: Record<string, unknown> = {}
  for (const file of Object.keys(files).sort()) {
    const text = files[file] ?? ''
    if (/\.ya?ml$/.test(file)) {
      const read = readYaml(file, text, places, problems)
      if (read) data = mergeData(data, read)
    } else if (file.endsWith('.co')) sources.push({ file, text })
    else if (/(^|\/)kb\/.*\.(md|txt)$/.test(file)) documents.push({ name: file, text })
    else if (PYTHON.test(file) && text.replace(/#.*$/gm, '').trim() !== '') {
      problems.push({
        file,
        line: 1,
        message:
          'Python is not run here; offer its actions over HTTP (actions_server_url) and leave the file out',
      })
    }
  }
  if (problems.length) throw new ConfigProblems(problems)
  return { data, sources, documents, locate: (text, key) => find(places, text, key) }
}

function readYaml(
  file: string,
  text: string,
  places: Place[],
  problems: Problem[],
): Record<string, unknown> | undefined {
  const lines = new LineCounter()
  const doc = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  const [error] = doc.errors
  if (error) {
    const [first = ''] = error.message.split('\n')
    problems.push({ file, line: lines.linePos(error.pos[0]).line, message: `not YAML: ${first}` })
    return undefined
  }
  let value: unknown
  try {
    value = doc.toJS({ maxAliasCount: 100 })
  } catch (err) {
    problems.push({ file, line: 1, message: `not usable YAML: ${err instanceof Error ? err.message : err}` })
    return undefined
  }
  if (value === null || value === undefined) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) {
    problems.push({ file, line: 1, message: 'must be a mapping with keys such as models and rails' })
    return undefined
  }
  collect(doc.contents as Node | null, [], (scalar, keys, at) => {
    places.push({ text: scalar, keys, file, line: lines.linePos(at).line })
  })
  return value as Record<string, unknown>
}

function collect(
  node: unknown,
  keys: string[],
  add: (text: string, keys: string[], offset: number) => void,
): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : ''
      if (isScalar(key) && key.range) add(name, keys, key.range[0])
      collect(value, [...keys, name], add)
    }
  } else if (isSeq(node)) {
    for (const item of node.items) collect(item, keys, add)
  } else if (isScalar(node) && node.range) add(String(node.value), keys, node.range[0])
}

function find(places: Place[], text: string, key?: string): { file: string; line?: number } {
  const equal = places.filter((p) => p.text === text)
  const place = equal.find((p) => key !== undefined && p.keys.includes(key)) ?? equal[0]
  return place ? { file: place.file, line: place.line } : { file: places[0]?.file ?? 'config.yml' }
}
