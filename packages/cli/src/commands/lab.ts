// SPDX-License-Identifier: Apache-2.0
import { join, resolve } from 'node:path'
import { type LabStatus, labDown, labStatus, labUp } from '../lab/lab.ts'
import type { PlatformConfig } from '../platform/config.ts'

const folder = (config: PlatformConfig, dir: string | undefined) => resolve(dir ?? join(config.home, 'lab'))

/** `nemoctl lab up`: starts the cluster, or what is missing of it, and says how to reach it. */
export async function up(config: PlatformConfig, options: { dir?: string }): Promise<void> {
  const begun = Date.now()
  const lab = await labUp({
    dir: folder(config, options.dir),
    cacheDir: config.cache,
    onProgress: ({ message }) => console.error(message),
  })
  console.error(`The lab is ready after ${((Date.now() - begun) / 1000).toFixed(1)} s.`)
  console.log(`export KUBECONFIG=${lab.kubeconfig}\nexport PATH=${lab.bin}:$PATH`)
}

/** `nemoctl lab down`: ends it and leaves nothing running; its state is kept unless `wipe`. */
export async function down(config: PlatformConfig, options: { dir?: string; wipe?: boolean }): Promise<void> {
  const dir = folder(config, options.dir)
  await labDown({ dir, wipe: options.wipe ?? false, onProgress: ({ message }) => console.error(message) })
  console.log(
    options.wipe
      ? 'The lab is stopped and its state removed.'
      : `The lab is stopped; ${dir} keeps its state.`,
  )
}

/** `nemoctl lab status`: which of its programs run. Returns 0 when all do, 3 when none does, else 1. */
export async function status(config: PlatformConfig, options: { dir?: string }): Promise<number> {
  const state: LabStatus = await labStatus(folder(config, options.dir))
  const running = Object.values(state.processes)
  for (const [name, runs] of Object.entries(state.processes)) {
    console.log(`${name.padEnd(24)} ${runs ? 'runs' : 'stopped'}`)
  }
  if (running.every(Boolean)) console.log(`KUBECONFIG=${state.kubeconfig}`)
  return running.every(Boolean) ? 0 : running.some(Boolean) ? 1 : 3
}
