// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { ensureGo } from './go.ts'
import { VERSIONS } from './versions.ts'

/** CRDs of others, as the Go modules of their projects carry them. */
const PUBLISHED = {
  inferenceservices: {
    module: 'github.com/kserve/kserve',
    version: VERSIONS.kserve,
    file: 'config/crd/full/serving.kserve.io_inferenceservices.yaml',
  },
  httproutes: {
    module: 'sigs.k8s.io/gateway-api',
    version: VERSIONS.gatewayApi,
    file: 'config/crd/standard/gateway.networking.k8s.io_httproutes.yaml',
  },
  servicemonitors: {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: VERSIONS.prometheusOperator,
    file: 'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml',
  },
} as const

export type PublishedCrd = keyof typeof PUBLISHED

/** The path of the YAML of a CRD that another project publishes; fetched first where it is not in the cache. */
export async function ensurePublishedCrd(
  cacheDir: string,
  name: PublishedCrd,
  onProgress: Progress,
): Promise<string> {
  const { module, version, file } = PUBLISHED[name]
  const dir = await ensureCached(cacheDir, `lab/crd-${name}-${version}`, {
    needBytes: 3e8,
    onProgress,
    build: async (tmp, tell) => {
      tell({ message: `fetching the CRD ${name} of ${module} ${version}` })
      const go = await ensureGo(cacheDir, tell)
      const text = await go.run(['mod', 'download', '-json', `${module}@${version}`])
      const { Dir } = JSON.parse(text) as { Dir: string }
      await writeFile(join(tmp, 'crd.yaml'), await readFile(join(Dir, file)))
    },
  })
  return join(dir, 'crd.yaml')
}
