// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { serverUrl } from '@open-nemo/contract/urls.ts'
import { z } from 'zod'
import { acquireLock } from '../cache/lock.ts'
import { CatalogueError } from './errors.ts'
import { tuningSeeds } from './seeds.ts'
import type { CatalogueModel } from './types.ts'

const ENTITY = String.raw`[\w\-+.@:]{1,255}`
const modelName = z
  .string()
  .regex(new RegExp(`^${ENTITY}/${ENTITY}$`), 'must be namespace/name of letters, digits and -+._@:')

const common = {
  id: modelName,
  names: z.array(modelName).default([]),
  version: z
    .string()
    .regex(/^[\w.+-]{1,64}$/)
    .default('1.0'),
  description: z.string().default(''),
  license: z.string().default(''),
  is_chat: z.boolean().default(true),
}
const weights = {
  path: z.string().min(1),
  num_parameters: z.number().int().nonnegative(),
  context_size: z.number().int().positive(),
  /** A file below NEMO_HOME/templates, or an absolute path. */
  chat_template: z.string().min(1).optional(),
  /** Whether a target and config are seeded. */
  tunable: z.boolean().default(true),
  max_seq_length: z.number().int().min(16).optional(),
}

/** One entry of `models.json`. */
export const modelEntry = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('gguf'),
    ...common,
    ...weights,
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    task: z.literal('ranking').optional(),
  }),
  z.strictObject({ kind: z.literal('hf'), ...common, ...weights }),
  z.strictObject({
    kind: z.literal('upstream'),
    ...common,
    context_size: z.number().int().nonnegative().default(0),
    num_parameters: z.number().int().nonnegative().default(0),
    api_endpoint: z.strictObject({
      url: serverUrl,
      model_id: z.string().min(1),
      api_key: z.string().optional(),
    }),
  }),
])
export type ModelEntry = z.output<typeof modelEntry>
export type ModelEntryInput = z.input<typeof modelEntry>

const catalogueFile = z.strictObject({ models: z.array(z.unknown()) })

export function catalogueFilePath(home: string): string {
  return join(home, 'models.json')
}

/** The entries of `models.json` below `home`; none when there is no such file. Errors name the entry and field. */
export async function readEntries(home: string): Promise<ModelEntry[]> {
  const path = catalogueFilePath(home)
  if (!existsSync(path)) return []
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new CatalogueError(`${path} is not valid JSON: ${(cause as Error).message}`, { cause })
  }
  const file = catalogueFile.safeParse(value)
  if (!file.success)
    throw new CatalogueError(`${path} must be an object with a list "models": ${firstIssue(file.error)}`)
  const entries = file.data.models.map((entry, i) => parseEntry(entry, `${path}: models[${i}]`))
  const taken = new Set<string>()
  for (const name of entries.flatMap((entry) => [entry.id, ...entry.names])) {
    if (taken.has(name)) throw new CatalogueError(`${path}: the name ${name} is given twice`)
    taken.add(name)
  }
  return entries
}

/** Validates one entry; `where` begins the error's message. */
export function parseEntry(value: unknown, where: string): ModelEntry {
  const entry = modelEntry.safeParse(value)
  if (entry.success) return entry.data
  const id = (value as { id?: unknown } | null)?.id
  const named = typeof id === 'string' ? `${where} (${id})` : where
  throw new CatalogueError(`${named}: ${firstIssue(entry.error)}`)
}

function firstIssue(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'entry'}: ${issue.message}`).join('; ')
}

/** Changes `models.json` under a lock, atomically. */
export async function updateEntries(
  home: string,
  change: (entries: ModelEntry[]) => ModelEntry[] | Promise<ModelEntry[]>,
): Promise<void> {
  await mkdir(home, { recursive: true })
  const path = catalogueFilePath(home)
  const lock = await acquireLock(`${path}.lock`, { bytes: 0, what: 'models.json' })
  try {
    const models = await change(await readEntries(home))
    const tmp = `${path}.${lock.token}.tmp`
    // Upstream entries hold keys: nobody else may read the file.
    const file = await open(tmp, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify({ models }, null, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(tmp, path)
  } finally {
    await lock.release()
  }
}

/** The catalogue's view of a file entry, with a target and config for each of its names. */
export function entryToModel(entry: ModelEntry, home: string): CatalogueModel {
  const { namespace, name } = splitName(entry.id)
  const model: CatalogueModel = {
    id: entry.id,
    names: entry.names,
    namespace,
    name,
    version: entry.version,
    description: entry.description,
    license: entry.license,
    kind: entry.kind,
    source:
      entry.kind === 'upstream'
        ? { type: 'url', api_endpoint: entry.api_endpoint }
        : { type: 'file', path: entry.path, ...(entry.kind === 'gguf' ? { sha256: entry.sha256 } : {}) },
    spec: {
      num_parameters: entry.num_parameters,
      context_size: entry.context_size,
      num_virtual_tokens: 0,
      is_chat: entry.is_chat,
    },
    targets: [],
    configs: [],
    origin: 'file',
  }
  if (entry.kind === 'upstream') return model
  if (entry.kind === 'gguf' && entry.task) return { ...model, task: entry.task }
  if (entry.chat_template) model.templateFile = resolveTemplate(home, entry.chat_template)
  if (!entry.tunable) return model
  for (const each of [entry.id, ...entry.names]) {
    const limit = entry.max_seq_length ?? Math.min(2048, entry.context_size)
    const seeds = tuningSeeds({ ...splitName(each), version: entry.version, maxSeqLength: limit })
    model.targets.push(...seeds.targets)
    model.configs.push(...seeds.configs)
  }
  return model
}

function resolveTemplate(home: string, file: string): string {
  return file.startsWith('/') ? file : join(home, 'templates', file)
}

export function splitName(id: string): { namespace: string; name: string } {
  const slash = id.indexOf('/')
  return { namespace: id.slice(0, slash), name: id.slice(slash + 1) }
}
