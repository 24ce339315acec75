// SPDX-License-Identifier: Apache-2.0
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImageSpec } from '../image.ts'
import type { LayerFiles } from '../tar.ts'
import { type BuildContext, HOME, MB, PATH, pythonLayer, ROOT, siteLayer, USER } from './common.ts'
import { checkpointLayer, embeddingCheckpointLayer } from './models.ts'
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
      embeddingCheckpointLayer(context),
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
    limit: 1050 * MB,
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
