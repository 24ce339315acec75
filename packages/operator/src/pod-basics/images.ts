// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'

/** Whose image it is decides how its pod may run. */
export type ImageMaker = 'ours' | 'nvidia' | 'other'

/** The image with its registry replaced by the installation's, its path kept. */
export function imageFrom(defaults: Pick<OperatorDefaults, 'imageRegistry'>, image: string): string {
  const registry = defaults.imageRegistry.replace(/\/+$/, '')
  return registry ? `${registry}/${splitImage(image).path}` : image
}

/** `repository` and `tag` of a resource; a digest comes as `x@sha256` and its digits. */
export function joinImage(image: { repository: string; tag: string }): string {
  return `${image.repository}:${image.tag}`
}

/** Told by the path, which a mirror keeps, and by NVIDIA's registry. */
export function makerOf(image: string): ImageMaker {
  const { host, path } = splitImage(image)
  if (/(^|\/)open-nemo\//.test(path)) return 'ours'
  if (host === 'nvcr.io' || /(^|\/)(nim|nvidia)\//.test(path)) return 'nvidia'
  return 'other'
}

function splitImage(image: string): { host: string; path: string } {
  const slash = image.indexOf('/')
  const first = slash < 0 ? '' : image.slice(0, slash)
  if (first === 'localhost' || /[.:]/.test(first)) return { host: first, path: image.slice(slash + 1) }
  return { host: 'docker.io', path: slash < 0 ? `library/${image}` : image }
}
