// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { saveArchive } from '../images/archive.ts'
import { LAB_IMAGES, OWN_IMAGES } from '../images/definitions/index.ts'
import { ensureImage, type Image } from '../images/image.ts'
import { pushImage } from '../images/push.ts'
import { ensurePackages } from '../lab/commands.ts'
import { importMissing } from '../lab/lab.ts'
import { LabError } from '../lab/processes.ts'
import type { PlatformConfig } from '../platform/config.ts'

export interface ImageOptions {
  torchIndex?: string
}

const tell = ({ message }: { message: string }) => console.error(message)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`

/** `nemoctl images build`: builds the named images (ours when none is named) and lists them. */
export async function build(config: PlatformConfig, names: string[], options: ImageOptions): Promise<void> {
  await eachImage(config, names, options, async (image) => {
    console.log(`${image.reference}  ${megabytes(image.size)}  ${image.manifest.digest}`)
  })
}

/** `nemoctl images save`: an OCI archive per image, for `podman load`, `skopeo copy` or `ctr images import`. */
export async function save(
  config: PlatformConfig,
  names: string[],
  options: ImageOptions & { out: string },
): Promise<void> {
  await mkdir(options.out, { recursive: true })
  await eachImage(config, names, options, async (image, name) => {
    const path = join(resolve(options.out), `${name}.tar`)
    await saveArchive([image], path)
    console.log(`${image.reference}  ${path}`)
  })
}

/** `nemoctl images push`: pushes to a registry under the names that `global.imageRegistry` gives them. */
export async function push(
  config: PlatformConfig,
  registry: string,
  names: string[],
  options: ImageOptions & { username?: string; insecure?: boolean; password?: string },
): Promise<void> {
  await eachImage(config, names, options, async (image) => {
    const reference = await pushImage(image, {
      registry: registry.replace(/^https?:\/\//, '').replace(/\/+$/, ''),
      ...(options.username !== undefined ? { username: options.username } : {}),
      ...(options.password !== undefined ? { password: options.password } : {}),
      ...(options.insecure || registry.startsWith('http://') ? { insecure: true } : {}),
      onProgress: (message) => console.error(message),
    })
    console.log(reference)
  })
  console.error(`Install the charts with --set global.imageRegistry=${registry}`)
}

/** `nemoctl lab import`: brings images into a running lab; all of them when none is named. */
export async function importToLab(
  config: PlatformConfig,
  names: string[],
  options: ImageOptions & { dir?: string },
): Promise<void> {
  const all = [...Object.keys(LAB_IMAGES), ...Object.keys(OWN_IMAGES)]
  const dir = resolve(options.dir ?? join(config.home, 'lab'))
  await eachImage(config, names.length > 0 ? names : all, options, async (image) => {
    await importMissing(dir, [image], tell)
    console.log(`${image.reference}  ${megabytes(image.size)}`)
  })
}

async function eachImage(
  config: PlatformConfig,
  names: string[],
  options: ImageOptions,
  use: (image: Image, name: string) => Promise<void>,
): Promise<void> {
  const known = { ...OWN_IMAGES, ...LAB_IMAGES }
  await ensurePackages(tell)
  for (const name of names.length > 0 ? names : Object.keys(OWN_IMAGES)) {
    const definition = known[name]
    if (!definition)
      throw new LabError(`there is no image ${name}: choose of ${Object.keys(known).join(', ')}`)
    const spec = await definition({ cacheDir: config.cache, ...options })
    await use(await ensureImage(config.cache, spec, tell), name)
  }
}
