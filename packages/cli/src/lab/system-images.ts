// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { debianLayer } from '../images/debian.ts'
import type { ImageSpec } from '../images/image.ts'
import type { LayerSpec } from '../images/layer.ts'
import { ensureTools, type Tool } from './binaries.ts'
import { VERSIONS } from './versions.ts'

/** The images that the lab itself needs. */
export const IMAGES = {
  pause: 'localhost/nemo-lab/pause:1',
  busybox: 'localhost/nemo-lab/busybox:1',
  coredns: `localhost/nemo-lab/coredns:${VERSIONS.coredns}`,
  localPath: `localhost/nemo-lab/local-path-provisioner:${VERSIONS.localPath}`,
} as const

const MB = 1e6

/** How each is built: static programs from Debian or Go, nothing else. */
export function systemImages(cacheDir: string): ImageSpec[] {
  return [
    {
      reference: IMAGES.pause,
      layers: [debianLayer({ name: 'pause', packages: ['catatonit'] })],
      config: { Entrypoint: ['/usr/bin/catatonit', '-P'], User: '65534' },
      limit: 2 * MB,
    },
    {
      reference: IMAGES.busybox,
      layers: [busyboxLayer()],
      config: { Cmd: ['sh'], Env: ['PATH=/bin:/usr/bin'] },
      limit: 4 * MB,
    },
    goImage(cacheDir, IMAGES.coredns, 'coredns', VERSIONS.coredns, []),
    // Its volumes are made by a pod; it runs as root there and here.
    goImage(cacheDir, IMAGES.localPath, 'local-path-provisioner', VERSIONS.localPath, []),
  ]
}

/** busybox with a link for each of its commands. */
function busyboxLayer(): LayerSpec {
  return {
    ...debianLayer({ name: 'busybox', packages: ['busybox-static'] }),
    build: async (files, tmp, tell) => {
      await debianLayer({ name: 'busybox', packages: ['busybox-static'] }).build(files, tmp, tell)
      const list = execFileSync(`${tmp}/root/bin/busybox`, ['--list'], { encoding: 'utf8' })
      for (const name of list.split('\n').filter((name) => name && name !== 'busybox')) {
        files.symlink(`usr/bin/${name}`, '/usr/bin/busybox')
      }
    },
  }
}

/** An image with one program from a Go module. */
export function goImage(
  cacheDir: string,
  reference: string,
  tool: Tool,
  version: string,
  env: string[],
): ImageSpec {
  const layer: LayerSpec = {
    name: tool,
    key: JSON.stringify([1, tool, version]),
    needBytes: 3e8,
    build: async (files, _tmp, tell) => {
      const paths = await ensureTools(cacheDir, [tool], tell)
      await files.copy(paths[tool], `usr/local/bin/${tool}`)
      files.folder('tmp', { writable: true })
    },
  }
  return {
    reference,
    layers: [layer],
    config: { Entrypoint: [`/usr/local/bin/${tool}`], Env: ['PATH=/usr/local/bin', ...env] },
    limit: 80 * MB,
  }
}
