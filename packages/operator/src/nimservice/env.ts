// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import type { NimServiceSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import type { World } from '../framework/types.ts'
import type { ImageMaker } from '../pod-basics/images.ts'
import { variables } from '../pod-basics/placement.ts'
import { type ModelStorage, STORE } from './storage.ts'

type Fields = Record<string, unknown>

export const portOf = (spec: NimServiceSpec): number => spec.expose?.service?.port ?? 8000

/** The variables of a NIM, as NVIDIA's operator sets them, and for our image what it reads beside them. */
export function nimEnv(
  name: string,
  spec: NimServiceSpec,
  on: { world: World; storage: ModelStorage; maker: ImageMaker },
): Fields[] {
  const port = String(portOf(spec))
  const { grpcPort, metricsPort } = spec.expose?.service ?? {}
  const profile = on.storage.cache?.profile
  return [
    ...variables([
      ['NIM_CACHE_PATH', STORE],
      ['OUTLINES_CACHE_DIR', '/tmp/outlines'],
      ['NIM_SERVER_PORT', port],
      ['NIM_HTTP_API_PORT', port],
      ['NIM_JSONL_LOGGING', '1'],
      ['NIM_LOG_LEVEL', 'INFO'],
      ...(grpcPort
        ? ([
            ['NIM_GRPC_API_PORT', String(grpcPort)],
            ['NIM_TRITON_GRPC_PORT', String(grpcPort)],
          ] as const)
        : []),
      ...(metricsPort ? ([['NIM_TRITON_METRICS_PORT', String(metricsPort)]] as const) : []),
      ...(profile ? ([['NIM_MODEL_PROFILE', profile]] as const) : []),
      ...(on.storage.model ? ([['NIM_SERVED_MODEL_NAME', on.storage.model]] as const) : []),
      ...hubVariables(on.storage),
    ]),
    ...credentials(spec, on),
    ...(on.maker === 'ours' ? ourEnv(name, spec, on.world) : []),
  ]
}

/** A model of a hub lies in the store as it was published: the NIM is told so. */
function hubVariables({ cache }: ModelStorage): (readonly [string, string])[] {
  const hf = cache?.spec.source.hf
  if (!hf) return []
  return [
    ['NIM_MODEL_NAME', STORE],
    ['HF_HOME', `${STORE}/huggingface/hub`],
    ['NIM_MODEL_PATH', `hf://${hf.namespace}/${hf.modelName ?? hf.datasetName}`],
  ]
}

function credentials(
  spec: NimServiceSpec,
  { storage, maker }: { storage: ModelStorage; maker: ImageMaker },
): Fields[] {
  if (!spec.authSecret) return []
  const from = (key: string, optional: boolean) => ({
    name: key,
    valueFrom: { secretKeyRef: { name: spec.authSecret, key, ...(optional ? { optional } : {}) } },
  })
  const isOfHub = Boolean(storage.cache?.spec.source.hf ?? storage.cache?.spec.source.dataStore)
  // Our engine needs neither; a Secret made for NGC must not keep it from starting.
  return [from('NGC_API_KEY', isOfHub || maker !== 'nvidia'), ...(isOfHub ? [from('HF_TOKEN', true)] : [])]
}

/** Where our image finds adapters: the entity store and the data store of the namespace. */
function ourEnv(name: string, spec: NimServiceSpec, world: World): Fields[] {
  const entities = serviceUrl(world, 'NemoEntitystore')
  const files = serviceUrl(world, 'NemoDatastore')
  return [
    ...variables([
      ['NEMO_HOST', '0.0.0.0'],
      ['PORT', String(portOf(spec))],
      ['NEMO_HOME', '/data'],
      ['NEMO_CACHE', '/cache'],
      ['HOME', '/tmp'],
      ['NEMO_PUBLIC_URL', `http://${name}.${world.namespace}.svc.cluster.local:${portOf(spec)}`],
      ...(entities
        ? ([
            ['NIM_PEFT_SOURCE', entities],
            ['NEMO_ENTITY_STORE_URL', entities],
          ] as const)
        : []),
      ...(files ? ([['NEMO_DATA_STORE_URL', files]] as const) : []),
    ]),
    {
      name: 'NEMO_INTERNAL_TOKEN',
      valueFrom: { secretKeyRef: { name: world.defaults.internalTokenSecret, key: 'token', optional: true } },
    },
  ]
}

/** The Service of the namespace's resource of a kind; the first by name when there are several. */
function serviceUrl(world: World, kind: string): string | undefined {
  const [first] = world.list(APPS_API, kind).sort((a, b) => a.metadata.name.localeCompare(b.metadata.name))
  if (!first) return undefined
  const { expose } = first.spec as { expose?: { service?: { port?: number } } }
  return `http://${first.metadata.name}.${world.namespace}.svc.cluster.local:${expose?.service?.port ?? 8000}`
}
