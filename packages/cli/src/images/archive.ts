// SPDX-License-Identifier: Apache-2.0
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Image } from './image.ts'
import { LayerFiles, tarOf } from './tar.ts'

/** Writes images as one OCI archive, as `ctr images import`, `podman load` and `skopeo` read it. */
export async function saveArchive(images: Image[], path: string): Promise<void> {
  const files = new LayerFiles()
  files.file('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  const manifests = images.map(({ reference, manifest: { mediaType, digest, size } }) => ({
    mediaType,
    digest,
    size,
    annotations: {
      'io.containerd.image.name': reference,
      'org.opencontainers.image.ref.name': reference,
    },
  }))
  const index = 'application/vnd.oci.image.index.v1+json'
  files.file('index.json', JSON.stringify({ schemaVersion: 2, mediaType: index, manifests }))
  for (const image of images) {
    for (const { digest, data } of [image.config, image.manifest]) files.file(blobPath(digest), data)
    for (const layer of image.layers) await files.copy(layer.path, blobPath(layer.digest))
  }
  const part = `${path}.part`
  try {
    await pipeline(tarOf(files), createWriteStream(part))
    await rename(part, path)
  } finally {
    await rm(part, { force: true })
  }
}

const blobPath = (digest: string) => `blobs/${digest.replace(':', '/')}`
