// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import type { Env } from '../python/index.ts'
import { ensureCheckpoint, ensureFiles, ensureFloatGguf, ensureGguf } from './ensure.ts'
import { CatalogueError } from './errors.ts'
import { entryToModel, readEntries } from './file.ts'
import { localFile } from './local-files.ts'
import { modelOfStore } from './model-store.ts'
import { EMBEDDING_NAMES, embeddingModel, LLAMA_NAME, referenceModel } from './seeds.ts'
import type { Catalogue, CatalogueModel } from './types.ts'

export { type AddModel, addModel, removeModel } from './add.ts'
export { CatalogueError } from './errors.ts'
export { GgufError, type GgufInfo, readGgufInfo } from './gguf.ts'
export { localFile } from './local-files.ts'
export { PULLED } from './model-store.ts'
export { LLAMA_NAME, settingFor } from './seeds.ts'
export * from './types.ts'

/**
 * Reads the catalogue: the built-in models and those of `models.json` below `home`. Nothing is fetched before an
 * `ensure…` asks for it. `NEMO_LLAMA_ALIASES=true` lets the reference model answer to the names of Llama 3.2 1B.
 * `NEMO_EMBEDDING_ALIASES=true` does the same for the embedding model and NVIDIA's names.
 * In a NIM with a model store (`NIM_CACHE_PATH`) it is the one model that is served there, and the image's embedding model.
 * Throws CatalogueError naming the entry and field at fault.
 */
export async function loadCatalogue(args: { env: Env; home: string; cacheDir: string }): Promise<Catalogue> {
  const aliases = flag(args.env, 'NEMO_LLAMA_ALIASES')
  const entries = await readEntries(args.home)
  const embeddingAliases = flag(args.env, 'NEMO_EMBEDDING_ALIASES')
  const builtin = [referenceModel(aliases), embeddingModel(embeddingAliases)]
  const known = [...builtin, ...entries.map((entry) => entryToModel(entry, args.home))]
  const context = { cacheDir: args.cacheDir, env: args.env }
  const only = await modelOfStore(context, known)
  const models = only ? [only, ...(await shippedEmbedding(context, known, only))] : known
  const byName = new Map<string, CatalogueModel>()
  for (const model of models) {
    for (const name of [model.id, ...model.names]) {
      if (byName.has(name))
        throw new CatalogueError(`models.json: the name ${name} belongs to the built-in model`)
      byName.set(name, model)
    }
  }
  return {
    models,
    resolve: (name) => byName.get(name),
    isAlias: (name) =>
      (aliases && withoutVersion(name) === LLAMA_NAME) ||
      (embeddingAliases && EMBEDDING_NAMES.includes(withoutVersion(name))),
    ensureGguf: (model, onProgress) => ensureGguf(context, model, onProgress),
    ensureFiles: (model, onProgress) => ensureFiles(context, model, onProgress),
    ensureFloatGguf: (model, maxBytes) => ensureFloatGguf(context, model, maxBytes),
    ensureCheckpoint: (model, onProgress) => ensureCheckpoint(context, model, onProgress),
    template: (model) => readTemplate(model),
  }
}

/** The embedding model where it came with the container image: a NIM answers for it beside its own model. */
async function shippedEmbedding(
  context: { env: Env; cacheDir: string },
  known: readonly CatalogueModel[],
  only: CatalogueModel,
): Promise<CatalogueModel[]> {
  const model = known.find((each) => each.task === 'embedding')
  const isWanted = model && only.task === undefined && only.id !== model.id
  return isWanted && (await localFile(context, model)) ? [model] : []
}

function readTemplate(model: CatalogueModel): string {
  if (model.templateFile === undefined) throw new CatalogueError(`${model.id} has no chat template`)
  if (!existsSync(model.templateFile)) {
    throw new CatalogueError(`${model.id}: its chat template ${model.templateFile} is gone`)
  }
  return readFileSync(model.templateFile, 'utf8')
}

function withoutVersion(name: string): string {
  const at = name.lastIndexOf('@')
  return at > 0 ? name.slice(0, at) : name
}

function flag(env: Env, name: string): boolean {
  const value = env[name]?.toLowerCase()
  if (value === undefined || ['', 'false', '0', 'no', 'off'].includes(value)) return false
  if (['true', '1', 'yes', 'on'].includes(value)) return true
  throw new CatalogueError(`${name} is ${JSON.stringify(env[name])}: set it to true or false`)
}
