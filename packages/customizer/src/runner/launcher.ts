// SPDX-License-Identifier: Apache-2.0
import type { ServiceContext } from '@open-nemo/runtime'
import { ensureTrainerEnvironment } from '@open-nemo/runtime/python/index.ts'

/** Says what program trains; the real one needs its Python environment, which is built on first use. */
export interface Launcher {
  /** Whether it runs where this disk is not: it brings its own model, and takes paths below the work folder. */
  readonly isRemote?: boolean
  /** The command, to which the work folder is added, and its environment. */
  prepare(tell: (message: string) => void): Promise<{ command: string[]; env: Record<string, string> }>
}

// Everything else, such as keys and passwords of the platform, is no business of the trainer.
const PASSED_ON = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'CUDA_VISIBLE_DEVICES',
  'NVIDIA_VISIBLE_DEVICES',
]

/** The trainer of this platform. */
export function createLauncher(ctx: Pick<ServiceContext, 'cacheDir' | 'env'>): Launcher {
  return {
    async prepare(tell) {
      const made = await ensureTrainerEnvironment(ctx.cacheDir, {
        env: ctx.env,
        onProgress: (event) => tell(withPercent(event)),
      })
      return { command: [made.python, '-m', 'nemo_trainer'], env: { ...passedOn(ctx.env), ...made.env } }
    },
  }
}

/** The trainer of a pod: its image has everything. */
export function createRemoteLauncher(): Launcher {
  return { isRemote: true, prepare: async () => ({ command: [], env: {} }) }
}

export function withPercent({ message, fraction }: { message: string; fraction?: number }): string {
  return fraction === undefined ? message : `${message} (${Math.round(fraction * 100)} %)`
}

function passedOn(env: ServiceContext['env']): Record<string, string> {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
