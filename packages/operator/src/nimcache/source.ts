// SPDX-License-Identifier: Apache-2.0
import type { NimCacheSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { type ImageMaker, imageFrom, makerOf } from '../pod-basics/images.ts'
import { variables } from '../pod-basics/placement.ts'

type Fields = Record<string, unknown>

export const STORE = '/model-store'
const SOURCE_MOUNT = '/source'

/** What brings a model to the volume. */
export interface Puller {
  image: string
  maker: ImageMaker
  command?: string[]
  args?: string[]
  env: Fields[]
  envFrom: Fields[]
  pullSecret: string | undefined
  volumes: Fields[]
  volumeMounts: Fields[]
}

/** Why a cache cannot be made of its source. */
export interface Refusal {
  reason: string
  message: string
}

/** The model's name as it is served; undefined for NGC, whose models are named in the NIM's own manifest. */
export function modelName(cache: string, spec: NimCacheSpec): string | undefined {
  const hub = spec.source.dataStore ?? spec.source.hf
  if (hub) return `${hub.namespace}/${hub.modelName ?? hub.datasetName}`
  if (spec.source.pvc) return spec.source.pvc.model ?? `default/${cache}`
  return undefined
}

export function pullerOf(
  cache: string,
  spec: NimCacheSpec,
  on: { defaults: OperatorDefaults; capacity: number | undefined },
): Puller | Refusal {
  const { ngc, pvc } = spec.source
  if (ngc) return ngcPuller(ngc, on.defaults)
  if (pvc) return folderPuller(modelName(cache, spec) ?? cache, pvc, on)
  return hubPuller(cache, spec, on)
}

function hubPuller(
  cache: string,
  spec: NimCacheSpec,
  on: { defaults: OperatorDefaults; capacity: number | undefined },
): Puller | Refusal {
  const { hf, dataStore } = spec.source
  const hub = dataStore ?? hf
  if (!hub)
    return { reason: 'InvalidSpec', message: 'spec.source names no source: give hf, dataStore, pvc or ngc' }
  const id = modelName(cache, spec) ?? ''
  const type = hub.datasetName ? 'dataset' : 'model'
  const revision = hub.revision || 'main'
  const image = hub.modelPuller ? imageFrom(on.defaults, hub.modelPuller) : ''
  if (image && makerOf(image) !== 'ours') {
    return {
      ...foreign(image, hub),
      command: ['/bin/sh', '-c', contractScript({ id, type, revision: hub.revision })],
      env: variables([
        ['HF_ENDPOINT', hub.endpoint],
        ['HF_HUB_OFFLINE', '0'],
        ['NIM_CACHE_PATH', STORE],
        ['HF_HOME', `${STORE}/huggingface/hub`],
      ]),
    }
  }
  const token = hub.authSecret
    ? [
        {
          name: 'HF_TOKEN',
          // A store in the cluster needs none: the Secret may be missing.
          valueFrom: { secretKeyRef: { name: hub.authSecret, key: 'HF_TOKEN', optional: true } },
        },
      ]
    : []
  return own(on, {
    image,
    args: [id, '--endpoint', hub.endpoint, '--type', type, '--revision', revision],
    env: token,
    pullSecret: hub.pullSecret,
  })
}

function folderPuller(
  id: string,
  pvc: { claimName: string; subPath?: string | undefined },
  on: { defaults: OperatorDefaults; capacity: number | undefined },
): Puller {
  const puller = own(on, { image: '', args: [id, '--from', SOURCE_MOUNT], env: [], pullSecret: undefined })
  return {
    ...puller,
    volumes: [{ name: 'source', persistentVolumeClaim: { claimName: pvc.claimName, readOnly: true } }],
    volumeMounts: [
      {
        name: 'source',
        mountPath: SOURCE_MOUNT,
        readOnly: true,
        ...(pvc.subPath ? { subPath: pvc.subPath } : {}),
      },
    ],
  }
}

function own(
  on: { defaults: OperatorDefaults; capacity: number | undefined },
  given: { image: string; args: string[]; env: Fields[]; pullSecret: string | undefined },
): Puller {
  const capacity = on.capacity === undefined ? [] : ['--capacity', String(on.capacity)]
  return {
    image: given.image || imageFrom(on.defaults, on.defaults.images.services),
    maker: 'ours',
    args: ['pull-model', ...given.args, '--to', STORE, ...capacity],
    env: [
      ...given.env,
      ...variables([
        ['NEMO_HOME', '/tmp/nemo'],
        ['NEMO_CACHE', '/tmp/nemo/cache'],
        ['HOME', '/tmp'],
      ]),
    ],
    envFrom: [],
    pullSecret: given.pullSecret,
    volumes: [],
    volumeMounts: [],
  }
}

/**
 * What NVIDIA's operator runs in a puller image: which of the two it is depends on whether the image has a manifest,
 * which only a pod of it can see.
 */
function contractScript(repo: { id: string; type: string; revision: string | undefined }): string {
  const revision = repo.revision ? ` --revision ${quoted(repo.revision)}` : ''
  const id = quoted(repo.id)
  const download = `huggingface-cli download ${id} --local-dir ${STORE} --repo-type ${repo.type}${revision}`
  const uri = quoted(`hf://${repo.id}${repo.revision ? `:${repo.revision}` : ''}`)
  const manifests = ['/opt/nim/etc/default/model_manifest.yaml', '/etc/nim/config/model_manifest.yaml']
  const hasManifest = manifests.map((path) => `[ -f ${path} ]`).join(' || ')
  return [
    `if ! command -v download-to-cache >/dev/null || ${hasManifest}`,
    `then exec ${download}`,
    `else exec download-to-cache --model-uri ${uri} --manifest-file ${STORE}/model_manifest.json`,
    'fi',
  ].join('\n')
}

function ngcPuller(
  ngc: NonNullable<NimCacheSpec['source']['ngc']>,
  defaults: OperatorDefaults,
): Puller | Refusal {
  const image = imageFrom(defaults, ngc.modelPuller)
  if (makerOf(image) === 'ours') {
    const message = `${image} cannot fetch from NGC: give modelPuller NVIDIA's image of the model, or use hf or dataStore`
    return { reason: 'PullerUnusable', message }
  }
  const env = variables([['NIM_CACHE_PATH', STORE]])
  if (ngc.modelEndpoint) {
    const args = ['--model-repo', ngc.modelEndpoint, '--model-store', STORE]
    return { ...foreign(image, ngc), command: ['create-model-store'], args, env }
  }
  const profiles = ((ngc.model as { profiles?: unknown } | undefined)?.profiles ?? []) as string[]
  if (profiles.length === 0) {
    const message =
      'name the profiles to download in spec.source.ngc.model.profiles (list-model-profiles in the image prints them), ' +
      'or ["all"]: without a choice every profile would be fetched and fill the volume'
    return { reason: 'ProfilesMissing', message }
  }
  const args = profiles.includes('all') ? ['--all'] : ['--profiles', ...profiles]
  return { ...foreign(image, ngc), command: ['download-to-cache'], args, env }
}

function foreign(
  image: string,
  source: { authSecret?: string | undefined; pullSecret?: string | undefined },
): Omit<Puller, 'command' | 'args' | 'env'> {
  return {
    image,
    maker: makerOf(image),
    envFrom: source.authSecret ? [{ secretRef: { name: source.authSecret } }] : [],
    pullSecret: source.pullSecret,
    volumes: [],
    volumeMounts: [],
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
