// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Env } from '../python/index.ts'
import { CatalogueError } from './errors.ts'
import { splitName } from './file.ts'
import { readGgufInfo } from './gguf.ts'
import { filesBelow, localFile } from './local-files.ts'
import type { CatalogueModel } from './types.ts'

/** Written by `nemoctl pull-model` beside the files it brought. */
export const PULLED = 'open-nemo-model.json'

interface Context {
  env: Env
  cacheDir: string
}

/**
 * The one model of a NIM with a model store: the catalogue's own when it is the one to be served, else what lies in
 * the store, under the name that it is to be served by. Undefined outside of such a NIM, or when its store is empty.
 */
export async function modelOfStore(
  context: Context,
  known: readonly CatalogueModel[],
): Promise<CatalogueModel | undefined> {
  const { NIM_CACHE_PATH: store } = context.env
  if (!store) return undefined
  const name = context.env.NIM_SERVED_MODEL_NAME || (await pulledName(store))
  const listed = known.find((model) => model.id === name || (name && model.names.includes(name)))
  if (listed && (listed.source.type !== 'pypi' || (await localFile(context, listed)))) return listed
  const [path] = await filesBelow(store, '.gguf')
  if (path !== undefined) return await fromGguf(context, path, name ?? 'default/model')
  const tensors = await filesBelow(store, '.safetensors')
  if (tensors.length > 0) {
    throw new CatalogueError(
      `${store} holds safetensors and no GGUF file, which is what this engine reads: cache a repository with a ` +
        'GGUF file, or name another image (such as vLLM) in spec.image of the NIMService',
    )
  }
  return listed
}

async function pulledName(store: string): Promise<string | undefined> {
  const text = await readFile(join(store, PULLED), 'utf8').catch(() => '')
  return text ? (JSON.parse(text) as { id?: string }).id : undefined
}

async function fromGguf(context: Context, path: string, id: string): Promise<CatalogueModel> {
  const info = await readGgufInfo(path)
  const template = info.chatTemplate ? await keepTemplate(context.cacheDir, info.chatTemplate) : undefined
  return {
    id,
    ...(id.includes('/') ? splitName(id) : { namespace: 'default', name: id }),
    names: [],
    version: '1.0',
    description: info.name ?? '',
    license: info.license ?? '',
    kind: 'gguf',
    ...(info.ranks ? { task: 'ranking' as const } : {}),
    source: { type: 'file', path },
    spec: {
      num_parameters: info.numParameters,
      context_size: info.contextSize || 4096,
      num_virtual_tokens: 0,
      is_chat: template !== undefined,
    },
    ...(template ? { templateFile: template } : {}),
    targets: [],
    configs: [],
    origin: 'file',
  }
}

async function keepTemplate(cacheDir: string, text: string): Promise<string> {
  const folder = join(cacheDir, 'templates')
  const path = join(folder, `${createHash('sha256').update(text).digest('hex').slice(0, 16)}.jinja`)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  await writeFile(`${path}.${process.pid}`, text)
  await rename(`${path}.${process.pid}`, path)
  return path
}
