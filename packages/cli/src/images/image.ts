// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { ensureLayer, type Layer, type LayerSpec } from './layer.ts'

/** An image to be built. */
export interface ImageSpec {
  /** The reference under which charts and the lab know it. */
  reference: string
  layers: LayerSpec[]
  config: ImageConfig
  /** Bytes, compressed, that it may have; a test keeps it. */
  limit: number
}

export interface ImageConfig {
  Entrypoint?: string[]
  Cmd?: string[]
  Env?: string[]
  /** Numeric, so that kubelet can see that it is not root. */
  User?: string
  WorkingDir?: string
  ExposedPorts?: Record<string, object>
  Labels?: Record<string, string>
}

export interface Image {
  reference: string
  layers: Layer[]
  /** The configuration and the manifest as they are stored. */
  config: Blob
  manifest: Blob
  /** Compressed bytes of all layers. */
  size: number
}

export interface Blob {
  mediaType: string
  digest: string
  size: number
  data: Buffer
}

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
export const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** Builds what is missing of an image. The same layers give the same digest. */
export async function ensureImage(cacheDir: string, spec: ImageSpec, onProgress: Progress): Promise<Image> {
  const layers: Layer[] = []
  for (const layer of spec.layers) layers.push(await ensureLayer(cacheDir, layer, onProgress))
  return assemble(spec, layers)
}

/** The manifest and configuration of layers that are there. */
export function assemble(spec: Pick<ImageSpec, 'reference' | 'config'>, layers: Layer[]): Image {
  const config = blob(CONFIG_TYPE, {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    // Fixed, so that the digest depends on the content alone.
    created: '1970-01-01T00:00:00Z',
    config: spec.config,
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'nemoctl images build' })),
  })
  const manifest = blob(MANIFEST_TYPE, {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: config.mediaType, digest: config.digest, size: config.size },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  })
  const size = layers.reduce((sum, layer) => sum + layer.size, 0)
  return { reference: spec.reference, layers, config, manifest, size }
}

function blob(mediaType: string, value: unknown): Blob {
  const data = Buffer.from(JSON.stringify(value))
  const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`
  return { mediaType, digest, size: data.length, data }
}
