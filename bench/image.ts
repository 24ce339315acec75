// SPDX-License-Identifier: Apache-2.0
// The services image's own sources and start, unpacked beside the checkout: what a pod runs is what is measured.
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '@open-nemo/runtime/python/index.ts'
import { servicesStart, sourcesLayer } from '../packages/cli/src/images/definitions/services.ts'
import { ensureLayer } from '../packages/cli/src/images/layer.ts'
import { CACHE, ROOT } from './lib.ts'

/** Unpacks the layer of our sources into a folder, and gives the arguments with which Node starts them there. */
export async function unpackServices(dir: string): Promise<string[]> {
  const layer = await ensureLayer(CACHE, await sourcesLayer(), () => undefined)
  await mkdir(dir, { recursive: true })
  await runCommand('tar', ['-xzf', layer.path, '-C', dir], { env: process.env })
  const { home, args } = servicesStart(dir)
  // The modules of others are the checkout's.
  const modules = join(home, 'node_modules')
  for (const name of await readdir(join(ROOT, 'node_modules')))
    if (name !== '@open-nemo') await symlink(join(ROOT, 'node_modules', name), join(modules, name))
  return args
}
