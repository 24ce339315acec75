// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Bench, ROOT, withPlatform } from './lib.ts'

/** `nemoctl demo flywheel` on a new platform: upload, LoRA, serve, compare. Downloads are done before. */
export const bench: Bench = {
  run: () =>
    withPlatform(async ({ env }) => {
      const from = performance.now()
      const nemoctl = join(ROOT, 'packages', 'cli', 'bin', 'nemoctl.mjs')
      const command = [nemoctl, 'demo', 'flywheel', '--no-files']
      const child = spawn(process.execPath, command, { env, stdio: 'inherit' })
      const [code] = await once(child, 'exit')
      if (code !== 0) throw new Error(`the demo ended with ${code}`)
      const value = Math.round((performance.now() - from) / 100) / 10
      return [{ name: 'flywheel.total_s', value, unit: 's', target: 300 }]
    }),
}
