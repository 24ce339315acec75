// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CatalogueError } from './errors.ts'
import { entryToModel, type ModelEntry, parseEntry, updateEntries } from './file.ts'
import { type GgufInfo, readGgufInfo } from './gguf.ts'
import { LLAMA_NAME, referenceModel } from './seeds.ts'
import { sha256OfFile } from './sums.ts'
import type { ApiEndpoint, CatalogueModel } from './types.ts'

/** Architectures whose GGUF weights the trainer can read and whose adapters the engine can load. */
const TUNABLE_ARCHITECTURES = ['llama']

/** What `nemoctl models add` takes: `path` to a GGUF file or Hugging Face folder, or an `api_endpoint`. */
export interface AddModel {
  id: string
  names?: string[]
  version?: string
  description?: string
  license?: string
  path?: string
  api_endpoint?: ApiEndpoint
  /** File with a Jinja chat template, in place of the one inside the model. */
  chat_template?: string
  max_seq_length?: number
}

/** Adds a model to `models.json` below `home` and gives it as the catalogue will. Throws CatalogueError, GgufError. */
export async function addModel(home: string, cacheDir: string, model: AddModel): Promise<CatalogueModel> {
  const common = {
    id: model.id,
    names: model.names ?? [],
    ...(model.version ? { version: model.version } : {}),
    ...(model.description ? { description: model.description } : {}),
    ...(model.license ? { license: model.license } : {}),
  }
  refuseBuiltin([model.id, ...common.names])
  let entry: ModelEntry
  if (model.api_endpoint && model.path)
    throw new CatalogueError(`${model.id}: give a path or an endpoint, not both`)
  if (model.api_endpoint) {
    entry = parseEntry({ ...common, kind: 'upstream', api_endpoint: model.api_endpoint }, 'the model')
  } else if (model.path) {
    entry = await weightsEntry(home, cacheDir, common, resolve(model.path), model)
  } else {
    throw new CatalogueError(
      `${model.id}: give the path of a GGUF file or Hugging Face folder, or an endpoint`,
    )
  }
  await updateEntries(home, (entries) => {
    const names = new Set([entry.id, ...entry.names])
    if (names.size < entry.names.length + 1) throw new CatalogueError(`${entry.id}: a name is given twice`)
    const other = entries.find((each) => [each.id, ...each.names].some((name) => names.has(name)))
    if (other)
      throw new CatalogueError(`${entry.id}: its name is taken by ${other.id}; remove that model first`)
    return [...entries, entry]
  })
  return entryToModel(entry, home)
}

/** Takes a model out of `models.json`; its files stay. Throws when there is none of that id. */
export async function removeModel(home: string, id: string): Promise<void> {
  await updateEntries(home, (entries) => {
    if (!entries.some((entry) => entry.id === id)) {
      throw new CatalogueError(`there is no model ${id} in models.json; built-in models cannot be removed`)
    }
    return entries.filter((entry) => entry.id !== id)
  })
}

function refuseBuiltin(names: string[]): void {
  const taken = new Set([referenceModel(false).id, LLAMA_NAME])
  for (const name of names) {
    if (taken.has(name))
      throw new CatalogueError(`the name ${name} belongs to the built-in model; choose another`)
  }
}

async function weightsEntry(
  home: string,
  cacheDir: string,
  common: { id: string; license?: string },
  path: string,
  model: AddModel,
): Promise<ModelEntry> {
  const info = await stat(path).catch(() => undefined)
  if (info === undefined) throw new CatalogueError(`${common.id}: there is nothing at ${path}`)
  const limit = model.max_seq_length ? { max_seq_length: model.max_seq_length } : {}
  if (info.isDirectory()) {
    const described = await describeFolder(common.id, path)
    const template = await storeTemplate(home, common.id, model.chat_template, described.template)
    const { numParameters: num_parameters, contextSize: context_size, tunable } = described
    return parseEntry(
      { ...common, kind: 'hf', path, num_parameters, context_size, tunable, ...template, ...limit },
      'the model',
    )
  }
  const gguf = await readGgufInfo(path)
  if (gguf.ranks) {
    return parseEntry(
      { license: gguf.license ?? '', ...common, ...(await weightsOf(path, cacheDir, gguf)), task: 'ranking' },
      'the model',
    )
  }
  const template = await storeTemplate(home, common.id, model.chat_template, gguf.chatTemplate)
  return parseEntry(
    {
      license: gguf.license ?? '',
      ...common,
      ...(await weightsOf(path, cacheDir, gguf)),
      tunable: TUNABLE_ARCHITECTURES.includes(gguf.architecture),
      is_chat: template.chat_template !== undefined,
      ...template,
      ...limit,
    },
    'the model',
  )
}

const weightsOf = async (path: string, cacheDir: string, gguf: GgufInfo) => ({
  kind: 'gguf',
  path,
  sha256: await sha256OfFile(path, cacheDir),
  num_parameters: gguf.numParameters,
  context_size: gguf.contextSize || 4096,
  tunable: false,
  is_chat: false,
})

// The template is copied, so that it stays what it was when the model was added.
async function storeTemplate(
  home: string,
  id: string,
  given: string | undefined,
  own: string | undefined,
): Promise<{ chat_template?: string }> {
  const text = given ? await readFile(given, 'utf8') : own
  if (text === undefined || text.trim() === '') return {}
  await mkdir(join(home, 'templates'), { recursive: true })
  const name = `${id.replaceAll('/', '~')}.jinja`
  await writeFile(join(home, 'templates', name), text)
  return { chat_template: name }
}

interface FolderConfig {
  architectures?: string[]
  model_type?: string
  max_position_embeddings?: number
}

async function describeFolder(
  id: string,
  path: string,
): Promise<{ numParameters: number; contextSize: number; tunable: boolean; template: string | undefined }> {
  const config = await readJson<FolderConfig>(join(path, 'config.json'))
  if (config === undefined) {
    throw new CatalogueError(`${id}: ${path} has no config.json: it is not a Hugging Face model folder`)
  }
  const files = (await readdir(path)).filter((name) => name.endsWith('.safetensors'))
  if (files.length === 0) {
    throw new CatalogueError(`${id}: ${path} has no .safetensors weights (other formats are not read)`)
  }
  if (!existsSync(join(path, 'tokenizer.json')) && !existsSync(join(path, 'tokenizer.model'))) {
    throw new CatalogueError(`${id}: ${path} has no tokenizer.json or tokenizer.model`)
  }
  let numParameters = 0
  for (const name of files) numParameters += await safetensorsParameters(join(path, name))
  const tokenizer = await readJson<{ chat_template?: unknown }>(join(path, 'tokenizer_config.json'))
  const separate = join(path, 'chat_template.jinja')
  const inside = typeof tokenizer?.chat_template === 'string' ? tokenizer.chat_template : undefined
  return {
    numParameters,
    contextSize: config.max_position_embeddings ?? 4096,
    tunable: TUNABLE_ARCHITECTURES.includes(config.model_type ?? ''),
    template: existsSync(separate) ? await readFile(separate, 'utf8') : inside,
  }
}

async function readJson<T>(path: string): Promise<T | undefined> {
  if (!existsSync(path)) return undefined
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch (cause) {
    throw new CatalogueError(`${path} is not valid JSON: ${(cause as Error).message}`, { cause })
  }
}

async function safetensorsParameters(path: string): Promise<number> {
  const { open } = await import('node:fs/promises')
  const handle = await open(path, 'r')
  try {
    const head = Buffer.alloc(8)
    await handle.read(head, 0, 8, 0)
    const size = Number(head.readBigUInt64LE())
    if (size > 100_000_000) throw new CatalogueError(`${path} is not a safetensors file`)
    const text = Buffer.alloc(size)
    await handle.read(text, 0, size, 8)
    const tensors = JSON.parse(text.toString('utf8')) as Record<string, { shape?: number[] }>
    let total = 0
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name !== '__metadata__') total += (tensor.shape ?? []).reduce((a, b) => a * b, 1)
    }
    return total
  } finally {
    await handle.close()
  }
}
