// SPDX-License-Identifier: Apache-2.0
import { nowMicros, parseEntityRef } from '@open-nemo/contract'
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import { guardrailsErrors as errors } from '@open-nemo/contract/guardrails/errors.ts'
import type { GuardrailConfig } from '@open-nemo/contract/guardrails/schemas.ts'
import type { Database } from '@open-nemo/runtime'
import type { ConfigInput } from '../config/compile.ts'
import { type ConfigFiles, type Locate, readConfigFiles } from '../config/files.ts'
import { mergeData } from '../config/merge.ts'
import type { CompiledConfig, EngineServices } from '../engine/compiled.ts'
import { ConfigProblems } from '../engine/types.ts'
import { compileConfig } from '../index.ts'
import { type FolderConfig, insideFolder, listFolder, readFolder } from './folder.ts'
import { readRemote, remoteRevision } from './remote.ts'
import { idOf, type Key, readConfig } from './store.ts'

export interface CatalogueOptions {
  db: Database
  store: DataStoreClient
  services: EngineServices
  /** Folders of configurations; the first that has a name wins. */
  folders: string[]
  defaultId: string
}

/** Time that a stored document, a folder or a revision is not looked at again. */
const FRESH_MS = 1000
const MAX_COMPILED = 500

interface Known<T> {
  value: Promise<T>
  until: number
}

/** Configurations by id: stored, in folders, in the Data Store, inline; compiled once for each state of them. */
export type ConfigCatalogue = ReturnType<typeof createCatalogue>

export function createCatalogue(on: CatalogueOptions) {
  const documents = new Map<string, Known<GuardrailConfig | undefined>>()
  const revisions = new Map<string, Known<string>>()
  const compiled = new Map<string, CompiledConfig>()
  let listing: Known<FolderConfig[]> | undefined

  function folderConfigs(): Promise<FolderConfig[]> {
    if (listing && listing.until > Date.now()) return listing.value
    const value = Promise.all(on.folders.map((folder) => listFolder(folder, on.defaultId))).then((lists) => {
      const byId = new Map<string, FolderConfig>()
      for (const config of lists.flat()) if (!byId.has(idOf(config))) byId.set(idOf(config), config)
      return [...byId.values()]
    })
    listing = { value, until: Date.now() + FRESH_MS }
    return value
  }

  /** A configuration by id, as stored or as the folder has it. */
  async function find(key: Key): Promise<GuardrailConfig | undefined> {
    const id = idOf(key)
    const known = documents.get(id)
    if (known && known.until > Date.now()) return known.value
    const value = read(key)
    value.catch(() => documents.delete(id))
    if (documents.size > MAX_COMPILED) documents.clear()
    documents.set(id, { value, until: Date.now() + FRESH_MS })
    return value
  }

  async function read(key: Key): Promise<GuardrailConfig | undefined> {
    const stored = await readConfig(on.db, key)
    if (stored) return stored
    const inFolder = (await folderConfigs()).find((c) => idOf(c) === idOf(key))
    return inFolder && folderDocument(inFolder)
  }

  /** The files behind a configuration and what names their state. */
  async function inputOf(
    config: GuardrailConfig,
  ): Promise<{ stamp: string; input: () => Promise<ConfigInput> }> {
    const { files_url: url, data, updated_at } = config
    if (!url) return { stamp: updated_at, input: async () => ({ data: data ?? {} }) }
    if (url.startsWith('file://')) {
      const path = on.folders.map((folder) => insideFolder(folder, url)).find((p) => p !== undefined)
      if (!path) throw errors.FILES_UNREACHABLE({ url, reason: 'it is outside CONFIG_STORE_PATH' })
      return { stamp: updated_at, input: async () => fromFiles(await readingFolder(path, url), data) }
    }
    const revision = await fresh(revisions, url, () => remoteRevision(on.store, url))
    return {
      stamp: `${updated_at} ${revision}`,
      input: async () => fromFiles(await readRemote(on.store, url), data),
    }
  }

  async function readingFolder(path: string, url: string): Promise<ConfigFiles> {
    const files = await readFolder(path).catch((cause) => {
      throw errors.FILES_UNREACHABLE(
        { url, reason: cause instanceof Error ? cause.message : String(cause) },
        { cause },
      )
    })
    if (Object.keys(files).length === 0) throw errors.FILES_UNREACHABLE({ url, reason: 'there are no files' })
    return files
  }

  /** The configuration of one id, or of several combined in their order. */
  async function compiledOf(ids: readonly string[]): Promise<CompiledConfig> {
    const parts = await Promise.all(ids.map(partOf))
    const key = JSON.stringify(parts.map(({ id, stamp }) => [id, stamp]))
    const known = compiled.get(key)
    if (known) return known
    const inputs = await Promise.all(parts.map((part) => usable(part.input)))
    const made = await usable(async () => compileConfig(combined(inputs), on.services))
    if (compiled.size >= MAX_COMPILED) compiled.clear()
    compiled.set(key, made)
    return made
  }

  async function partOf(id: string) {
    const { namespace, name, version } = parseEntityRef(id)
    const config = await find({ namespace, name: version ? `${name}@${version}` : name })
    if (!config) throw errors.CONFIG_NOT_FOUND({ id })
    return { id: idOf(config), ...(await inputOf(config)) }
  }

  return {
    find,
    folderDocuments: async () => (await folderConfigs()).map(folderDocument),
    compiledOf,
    /** Compiles a configuration that a request holds. */
    inline: (data: ConfigData) => usable(async () => compileConfig({ data }, on.services)),
    /** Compiles a document before it is stored. Throws CONFIG_REFUSED with everything that is wrong. */
    async check(config: GuardrailConfig): Promise<CompiledConfig> {
      const { input } = await inputOf(config)
      return usable(async () => compileConfig(await input(), on.services))
    },
    /** Forgets what was read of an id, after it was changed here. */
    forget(key: Key): void {
      documents.delete(idOf(key))
      if (listing) listing.until = 0
    },
  }
}

async function fresh<T>(cache: Map<string, Known<T>>, key: string, read: () => Promise<T>): Promise<T> {
  const known = cache.get(key)
  if (known && known.until > Date.now()) return known.value
  const value = read()
  value.catch(() => cache.delete(key))
  cache.set(key, { value, until: Date.now() + FRESH_MS })
  return value
}

/** Problems of a configuration as the error that callers see. */
async function usable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (err) {
    if (err instanceof ConfigProblems) throw errors.CONFIG_REFUSED({ problems: err.message }, { cause: err })
    throw err
  }
}

function fromFiles(files: ConfigFiles, over: Record<string, unknown> | null | undefined): ConfigInput {
  const loaded = readConfigFiles(files)
  return over ? { ...loaded, data: mergeData(loaded.data, over) } : loaded
}

function combined(inputs: ConfigInput[]): ConfigInput {
  const [only] = inputs
  if (inputs.length === 1 && only) return only
  const locate: Locate = (text, key) => {
    const places = inputs.flatMap((input) => (input.locate ? [input.locate(text, key)] : []))
    return places.find((p) => p.line !== undefined) ?? { file: 'data' }
  }
  return {
    data: inputs.reduce(
      (data, input) => mergeData(data, input.data as Record<string, unknown>),
      {} as Record<string, unknown>,
    ),
    sources: inputs.flatMap((input) => input.sources ?? []),
    documents: inputs.flatMap((input) => input.documents ?? []),
    locate,
  }
}

/** What answers show of a configuration of the folder. */
function folderDocument({ namespace, name, path, changed }: FolderConfig): GuardrailConfig {
  const time = changed.getTime() > 0 ? `${changed.toISOString().slice(0, -1)}000` : nowMicros()
  return {
    created_at: time,
    updated_at: time,
    name,
    namespace,
    files_url: `file://${path}`,
    custom_fields: {},
    schema_version: '1.0',
  }
}
