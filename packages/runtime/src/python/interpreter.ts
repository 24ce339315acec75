// SPDX-License-Identifier: Apache-2.0
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCached } from '../cache/index.ts'
import type { Progress } from '../catalogue/types.ts'
import { CommandError, type Env, runCommand } from './process.ts'

export interface Interpreter {
  /** Command or path to start it with. */
  command: string
  /** Such as '3.11.7'. */
  version: string
}

/** Something about Python on this machine has to be changed by its owner; the message says what. */
export class PythonError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'PythonError'
  }
}

const MINIMUM = [3, 11]
const CANDIDATES = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.14', 'python']

/** The first Python of at least 3.11: `NEMO_PYTHON` when set, else the usual names on PATH. */
export async function findPython(env: Env): Promise<Interpreter> {
  const named = env.NEMO_PYTHON
  const seen: string[] = []
  for (const command of named ? [named] : CANDIDATES) {
    const version = await pythonVersion(command, env)
    if (version === undefined) continue
    if (isRecentEnough(version)) return { command, version }
    seen.push(`${command} is ${version}`)
  }
  const found = seen.length > 0 ? seen.join(', ') : `${named ?? 'none of them'} could not be started`
  throw new PythonError(
    `no Python of at least ${MINIMUM.join('.')} was found (${found}). ` +
      'Install one, or set NEMO_PYTHON to its path',
  )
}

async function pythonVersion(command: string, env: Env): Promise<string | undefined> {
  try {
    const out = await runCommand(command, ['-c', 'import platform; print(platform.python_version())'], {
      env,
    })
    return out.trim()
  } catch {
    return undefined
  }
}

function isRecentEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return major > (MINIMUM[0] ?? 0) || (major === MINIMUM[0] && minor >= (MINIMUM[1] ?? 0))
}

/**
 * A Python that can run `-m pip`: the one found when it has pip, else a small virtual environment in the cache.
 * `pip download` and `pip install --target` work in externally managed environments too.
 */
export async function findPip(cacheDir: string, env: Env, onProgress?: Progress): Promise<string> {
  const python = await findPython(env)
  if (await hasPip(python.command, env)) return python.command
  const dir = await ensureCached(cacheDir, `tools/pip-py${python.version}`, {
    needBytes: 60e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      tell({ message: 'making a virtual environment with pip' })
      try {
        // --copies is not needed: the environment is only ever started through its own python, which finds its
        // packages beside it wherever the folder was renamed to.
        await runCommand(python.command, ['-m', 'venv', tmp], { env })
      } catch (cause) {
        throw new PythonError(
          `${python.command} (${python.version}) has neither pip nor a working venv module. ` +
            'Install python3-pip or python3-venv, or set NEMO_PYTHON to a Python that has one of them',
          { cause },
        )
      }
    },
  })
  return join(dir, 'bin', 'python')
}

async function hasPip(command: string, env: Env): Promise<boolean> {
  try {
    await runCommand(command, ['-m', 'pip', '--version'], { env })
    return true
  } catch {
    return false
  }
}

const UV_VERSION = '0.13.9'

/** Path of the pinned uv, installed into the cache from its wheel on first use. */
export async function ensureUv(cacheDir: string, env: Env, onProgress?: Progress): Promise<string> {
  const dir = await ensureCached(cacheDir, `tools/uv-${UV_VERSION}`, {
    needBytes: 150e6,
    ...(onProgress ? { onProgress } : {}),
    build: async (tmp, tell) => {
      const pip = await findPip(cacheDir, env, tell)
      tell({ message: `installing uv ${UV_VERSION}` })
      const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', tmp, `uv==${UV_VERSION}`]
      const index = env.NEMO_PIP_INDEX_URL
      try {
        await runCommand(pip, index ? [...args, '--index-url', index] : args, { env })
      } catch (cause) {
        throw installError('uv', cause)
      }
      await access(join(tmp, 'bin', 'uv'))
    },
  })
  return join(dir, 'bin', 'uv')
}

/** An install that failed, with the end of its output and what the user can change. */
export function installError(what: string, cause: unknown): PythonError {
  const output = cause instanceof CommandError ? cause.output : String(cause)
  return new PythonError(
    `installing ${what} failed: ${output.trim()}. It needs a package index: check the network, or name one with ` +
      'NEMO_PIP_INDEX_URL (or PIP_INDEX_URL)',
    { cause },
  )
}
