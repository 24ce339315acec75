// SPDX-License-Identifier: Apache-2.0
import { addModel, CatalogueError, loadCatalogue, removeModel } from '@open-nemo/runtime/catalogue/index.ts'
import type { PlatformConfig } from '../platform/config.ts'

export interface AddOptions {
  path?: string
  url?: string
  modelId?: string
  apiKeyEnv?: string
  alias?: string[]
  description?: string
  license?: string
  chatTemplate?: string
}

/** `nemoctl models add`: puts a GGUF file, a Hugging Face folder or an upstream into the catalogue. */
export async function add(config: PlatformConfig, id: string, options: AddOptions): Promise<void> {
  const model = await addModel(config.home, config.cache, {
    id,
    names: options.alias,
    description: options.description,
    license: options.license,
    path: options.path,
    chat_template: options.chatTemplate,
    api_endpoint: options.url
      ? { url: options.url, model_id: options.modelId ?? id, api_key: apiKey(options.apiKeyEnv) }
      : undefined,
  })
  const names = [model.id, ...model.names].join(', ')
  console.log(`Added ${names} (${model.kind}). A running platform takes it up when it is started again.`)
  for (const target of model.targets)
    console.log(`  target ${target.namespace}/${target.name}@${target.version}`)
  for (const c of model.configs)
    console.log(`  config ${c.namespace}/${c.name}${c.version ? `@${c.version}` : ''}`)
}

/** A key is read from the environment, since a command line can be seen by others. */
function apiKey(variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined
  const key = process.env[variable]
  if (!key) throw new CatalogueError(`the variable ${variable}, named by --api-key-env, is not set`)
  return key
}

const DOES: Record<string, string> = { embedding: 'embeds text', ranking: 'ranks passages' }

/** `nemoctl models list`: every model of the catalogue with its names and what it is. */
export async function list(config: PlatformConfig): Promise<void> {
  const catalogue = await loadCatalogue({ env: process.env, home: config.home, cacheDir: config.cache })
  for (const model of catalogue.models) {
    const tunable = model.configs.length > 0 ? 'can be tuned' : (DOES[model.task ?? ''] ?? 'inference only')
    console.log(
      `${[model.id, ...model.names].join(', ')}\n  ${model.kind}, ${tunable}${model.license ? `, ${model.license}` : ''}`,
    )
  }
}

/** `nemoctl models remove`: takes a model out of the catalogue; its files stay. */
export async function remove(config: PlatformConfig, id: string): Promise<void> {
  await removeModel(config.home, id)
  console.log(`Removed ${id}. A running platform serves it until it is started again.`)
}
