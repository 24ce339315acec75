// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureCached } from '../cache/index.ts'
import type { Progress } from '../catalogue/types.ts'
import { ensureUv, findPip, findPython, type Interpreter, installError } from './interpreter.ts'
import { type Env, runCommand } from './process.ts'

export { ensureUv, findPip, findPython, type Interpreter, installError, PythonError } from './interpreter.ts'
export { CommandError, type Env, runCommand } from './process.ts'

/** The trainer package of this checkout. */
export const TRAINER_DIR = fileURLToPath(new URL('../../../../trainer/', import.meta.url))

export interface TrainerEnvironment {
  /** Path of the interpreter that runs `-m nemo_trainer`. */
  python: string
  /** Variables to add to the process's environment: without them `nemo_trainer` is not found. */
  env: Record<string, string>
}

// With its CUDA libraries, which PyPI's torch for Linux cannot be imported without, and uv's download cache.
const NEED_BYTES = 8e9
// PyTorch's CPU wheels, or another index that the user named.
const NEED_BYTES_OTHER_INDEX = 3e9
const TRAINER = {
  dir: TRAINER_DIR,
  name: 'trainer',
  label: "the trainer's environment",
  what: 'PyTorch, transformers, PEFT and TRL (5 GB from PyPI)',
}

/**
 * The Python environment of the trainer, built on first use and kept in the cache under the hash of its lock file.
 * `NEMO_TRAINER_PYTHON` names an interpreter that has everything instead (the trainer's container image does).
 * Throws PythonError, DiskSpaceError.
 */
export async function ensureTrainerEnvironment(
  cacheDir: string,
  options: { onProgress?: Progress; env?: Env } = {},
): Promise<TrainerEnvironment> {
  const env = options.env ?? process.env
  const source = join(TRAINER_DIR, 'src')
  const variables: Record<string, string> = existsSync(source)
    ? { PYTHONPATH: joinPath(source, env.PYTHONPATH) }
    : {}
  if (env.NEMO_TRAINER_PYTHON) return { python: env.NEMO_TRAINER_PYTHON, env: variables }

  const otherIndex = env.NEMO_PIP_INDEX_URL || env.NEMO_PIP_EXTRA_INDEX_URL
  const wanted = { ...TRAINER, needBytes: otherIndex ? NEED_BYTES_OTHER_INDEX : NEED_BYTES }
  return { python: await ensurePythonEnvironment(cacheDir, wanted, options), env: variables }
}

/** Packages that a program of ours in Python needs. */
export interface PythonRequirements {
  /** Folder of `requirements.in` and `requirements.lock`; both name the environment. */
  dir: string
  /** First part of the environment's name in the cache. */
  name: string
  /** What it is, for people: `the trainer's environment`. */
  label: string
  /** What comes over the network, for people: `PyTorch and TRL (5 GB from PyPI)`. */
  what: string
  needBytes: number
}

/**
 * The interpreter of a Python environment, built on first use by a pinned uv and kept in the cache under the hash of
 * its requirements. Throws PythonError, DiskSpaceError.
 */
export async function ensurePythonEnvironment(
  cacheDir: string,
  wanted: PythonRequirements,
  options: { onProgress?: Progress; env?: Env } = {},
): Promise<string> {
  const env = options.env ?? process.env
  const python = await findPython(env)
  const key = await environmentKey(wanted, python)
  const dir = await ensureCached(cacheDir, key, {
    needBytes: wanted.needBytes,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    build: (tmp, tell) => buildEnvironment({ cacheDir, tmp, wanted, python, env, tell }),
  })
  return join(dir, 'bin', 'python')
}

async function environmentKey({ dir, name }: PythonRequirements, python: Interpreter): Promise<string> {
  const hash = createHash('sha256')
  for (const file of ['requirements.in', 'requirements.lock']) hash.update(await readFile(join(dir, file)))
  return `${name}/${hash.digest('hex').slice(0, 16)}-py${python.version}`
}

async function buildEnvironment(args: {
  cacheDir: string
  tmp: string
  wanted: PythonRequirements
  python: Interpreter
  env: Env
  tell: Progress
}): Promise<void> {
  const { cacheDir, tmp, wanted, python, env, tell } = args
  const uv = await ensureUv(cacheDir, env, tell)
  const uvVariables = await uvEnvironment(cacheDir, env)
  tell({ message: `making ${wanted.label} with Python ${python.version}` })
  // Relocatable: its scripts name no folder, so that it works after the rename into place.
  // --clear: the temporary folder exists already.
  await runCommand(uv, ['venv', '--quiet', '--relocatable', '--clear', '--python', python.command, tmp], {
    env: uvVariables,
  })
  const command = ['pip', 'install', '--system-certs', '--python', join(tmp, 'bin', 'python')]
  // The lock constrains rather than lists, so that PyTorch's CPU wheels do not bring the CUDA libraries along.
  const what = ['-r', join(wanted.dir, 'requirements.in'), '-c', join(wanted.dir, 'requirements.lock')]
  const started = Date.now()
  tell({ message: `installing ${wanted.what}`, fraction: 0 })
  try {
    await runCommand(uv, [...command, ...indexArguments(env), ...what], {
      env: uvVariables,
      onLine: (line) => tell({ message: line.trim() }),
    })
  } catch (cause) {
    throw installError(`the packages of ${wanted.label}`, cause)
  }
  await copyFile(join(wanted.dir, 'requirements.lock'), join(tmp, 'requirements.lock'))
  const seconds = Math.round((Date.now() - started) / 1000)
  tell({ message: `${wanted.label} is ready (${seconds} s)`, fraction: 1 })
}

/** The index options of uv for what the user set for this platform. */
export function indexArguments(env: Env): string[] {
  const args: string[] = []
  if (env.NEMO_PIP_INDEX_URL) args.push('--default-index', env.NEMO_PIP_INDEX_URL)
  if (env.NEMO_PIP_EXTRA_INDEX_URL) {
    // An extra index such as PyTorch's holds old copies of other packages too: the best version wins, wherever.
    args.push('--index', env.NEMO_PIP_EXTRA_INDEX_URL, '--index-strategy', 'unsafe-best-match')
  }
  return args
}

// uv does not read pip's settings: an index or certificate configured for pip is handed on.
async function uvEnvironment(cacheDir: string, env: Env): Promise<Env> {
  const out: Env = { ...env }
  if (env.PIP_CERT && !env.SSL_CERT_FILE) out.SSL_CERT_FILE = env.PIP_CERT
  if (env.PIP_EXTRA_INDEX_URL && !env.UV_INDEX) out.UV_INDEX = env.PIP_EXTRA_INDEX_URL
  const own = env.UV_DEFAULT_INDEX ?? env.UV_INDEX_URL ?? env.NEMO_PIP_INDEX_URL
  if (!own) {
    const index = env.PIP_INDEX_URL ?? (await pipSetting(cacheDir, env, 'global.index-url'))
    if (index) out.UV_DEFAULT_INDEX = index
  }
  return out
}

async function pipSetting(cacheDir: string, env: Env, name: string): Promise<string | undefined> {
  try {
    const pip = await findPip(cacheDir, env)
    return (await runCommand(pip, ['-m', 'pip', 'config', 'get', name], { env })).trim() || undefined
  } catch {
    return undefined
  }
}

function joinPath(first: string, rest: string | undefined): string {
  return rest ? `${first}:${rest}` : first
}
