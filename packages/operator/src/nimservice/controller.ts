// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import { nimServiceSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import { contentHash } from '../framework/compare.ts'
import type { Controller, KubeObject, ObjectRef, Plan, World } from '../framework/types.ts'
import { EXPOSURE_KINDS, exposure } from '../nemo-service/exposure.ts'
import { envReferences, secretRef } from '../nemo-service/inputs.ts'
import { commonPaths, notActedOn } from '../nemo-service/not-acted-on.ts'
import { type Readiness, readiness, statusFrom } from '../nemo-service/readiness.ts'
import type { CommonSpec } from '../nemo-service/types.ts'
import { ACCESS_KINDS } from '../pod-basics/access.ts'
import { imageFrom, joinImage, makerOf } from '../pod-basics/images.ts'
import { portOf } from './env.ts'
import {
  accountObjects,
  deploymentObject,
  INFERENCE_SERVICE,
  inferenceService,
  serviceObject,
} from './objects.ts'
import { labelsOf, type PodInput } from './pod.ts'
import { askModel, type ModelAnswer } from './probe.ts'
import { modelStorage } from './storage.ts'

const ASK_AGAIN_MS = 2000
const ASK_LAST_MS = 60_000
const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment' }
const SERVICE = { apiVersion: 'v1', kind: 'Service' }
/** Paths that reach a pod or an object, beside those of every kind. */
const ACTED = [
  ...[
    'userID',
    'groupID',
    'authSecret',
    'storage',
    'inferencePlatform',
    'proxy',
    'schedulerName',
    'priorityClassName',
    'runtimeClassName',
  ],
  ...['livenessProbe', 'readinessProbe', 'startupProbe', 'initContainers', 'sidecarContainers'],
  ...['expose.service.grpcPort', 'expose.service.metricsPort'],
]

/** The answers of NIMs, by resource and by what was rolled out when they gave it. */
type Answers = Map<string, { of: string; answer?: ModelAnswer; problem?: string; failures?: number }>

/** Serves models: ours on a CPU, or any image that the resource names. */
export function createNimServiceController(ask: typeof askModel = askModel): Controller {
  const answers: Answers = new Map()
  return {
    apiVersion: APPS_API,
    kind: 'NIMService',
    plural: 'nimservices',
    owns: [
      ...ACCESS_KINDS,
      SERVICE,
      DEPLOYMENT,
      ...EXPOSURE_KINDS,
      { ...INFERENCE_SERVICE, optional: true },
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
      { apiVersion: 'v1', kind: 'Pod', labelSelector: 'app.kubernetes.io/managed-by=open-nemo' },
      // Read only, to have a change of what the pod takes from them roll it.
      { apiVersion: 'v1', kind: 'Secret' },
      { apiVersion: 'v1', kind: 'ConfigMap' },
      { apiVersion: APPS_API, kind: 'NIMCache' },
      { apiVersion: APPS_API, kind: 'NemoEntitystore' },
      { apiVersion: APPS_API, kind: 'NemoDatastore' },
    ],
    references,
    concerns,
    plan: (resource, world) => plan(resource, world, { answers, ask }),
  }
}

function references(resource: KubeObject): ObjectRef[] {
  const parsed = nimServiceSpec.safeParse(resource.spec)
  if (!parsed.success) return []
  const { authSecret, env, image, storage } = parsed.data
  const cache = storage?.nimCache?.name
  return [
    ...[authSecret, ...(image.pullSecrets ?? [])]
      .filter((each): each is string => Boolean(each))
      .map(secretRef),
    ...envReferences(env),
    ...(cache ? [{ apiVersion: APPS_API, kind: 'NIMCache', name: cache }] : []),
    ...(storage?.pvc?.name
      ? [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: storage.pvc.name }]
      : []),
  ]
}

/** The NIM of a pod, and every NIM for the stores, where adapters come from. */
function concerns({ kind, metadata }: KubeObject, world: World): string[] {
  if (kind === 'Pod') return metadata.labels?.app ? [metadata.labels.app] : []
  if (kind !== 'NemoEntitystore' && kind !== 'NemoDatastore') return []
  return world.list(APPS_API, 'NIMService').map((each) => each.metadata.name)
}

interface Asking {
  answers: Answers
  ask: typeof askModel
}

function plan(resource: KubeObject, world: World, asking: Asking): Plan {
  const parsed = nimServiceSpec.safeParse(resource.spec)
  if (!parsed.success) {
    const said = parsed.error.issues.map((each) => `spec.${each.path.join('.')}: ${each.message}`).join('; ')
    const found: Readiness = { state: 'Failed', reason: 'InvalidSpec', message: said, availableReplicas: 0 }
    return { apply: [], ...statusFrom(found, { notes: [], foreignImage: undefined }) }
  }
  const spec = parsed.data
  const { name } = resource.metadata
  const named = joinImage(spec.image)
  const storage = modelStorage(name, spec, world)
  const input: PodInput = {
    name,
    spec,
    world,
    storage,
    maker: makerOf(named),
    image: imageFrom(world.defaults, named),
  }
  const notes = notesOf(resource)
  const foreign = foreignImage(input)
  if (storage.missing.length > 0) {
    const found: Readiness = { ...notReady(storage.reason, storage.missing.join('; ')) }
    if (['HostPathRefused', 'InvalidStorage'].includes(storage.reason)) found.state = 'Failed'
    return {
      apply: [...accountObjects(input), ...storage.claims],
      ...statusFrom(found, { notes, foreignImage: foreign }),
    }
  }
  return spec.inferencePlatform === 'kserve'
    ? kserve(input, { notes, foreign })
    : standalone(resource, input, { notes, foreign, asking })
}

interface Told {
  notes: string[]
  foreign: string | undefined
}

function standalone(resource: KubeObject, input: PodInput, on: Told & { asking: Asking }): Plan {
  const { name, spec, world, storage } = input
  const labels = labelsOf(name)
  const about = { name, namespace: world.namespace, labels, selector: { app: name } }
  const outward = exposure(spec as unknown as CommonSpec, about, world)
  const deployment = deploymentObject(input)
  const url = `http://${name}.${world.namespace}.svc.cluster.local:${portOf(spec)}`
  const asked = `http://${addressOf(name, world)}:${portOf(spec)}`
  const rolled = readiness(name, world)
  const of = contentHash([deployment.spec, world.get({ ...DEPLOYMENT, name })?.metadata.uid])
  const key = resource.metadata.uid ?? name
  const known = on.asking.answers.get(key)
  const kept = (resource.status ?? {}) as { answeredFor?: string; model?: ModelAnswer }
  // What an earlier life of the operator was told holds until something is rolled out again.
  const told = known?.of === of ? known.answer : kept.answeredFor === of ? kept.model : undefined
  const answer = rolled.state === 'Ready' ? told : undefined
  const problem = known?.of === of ? known.problem : undefined
  const found =
    rolled.state !== 'Ready' || answer
      ? rolled
      : notReady(
          'ModelNotAnswering',
          problem ?? `waiting for the answer of GET ${url}/v1/models`,
          rolled.availableReplicas,
        )
  const { status, events } = statusFrom(found, {
    notes: [...on.notes, ...outward.notes],
    foreignImage: on.foreign,
  })
  const isAsking = rolled.state === 'Ready' && !answer
  const failures = known?.of === of ? (known.failures ?? 0) : 0
  return {
    apply: [...accountObjects(input), ...storage.claims, serviceObject(input), deployment, ...outward.apply],
    remove: [
      ...outward.remove,
      ...(world.served(INFERENCE_SERVICE.apiVersion, INFERENCE_SERVICE.kind)
        ? [{ ...INFERENCE_SERVICE, name }]
        : []),
    ],
    status: {
      ...status,
      ...(answer
        ? { answeredFor: of, model: { name: answer.name, clusterEndpoint: url, externalEndpoint: '' } }
        : {}),
    },
    events,
    ...(isAsking
      ? {
          effect: () => askAndKeep(on.asking, { key, of, url: asked, failures }),
          // The first failure is planned again at once, to be said.
          requeueAfterMs: Math.min(ASK_AGAIN_MS * 2 ** Math.max(0, failures - 1), ASK_LAST_MS),
        }
      : {}),
  }
}

/** The address of a Service, which needs no DNS; its name when it has none. */
function addressOf(name: string, world: World): string {
  const { clusterIP } = (world.get({ ...SERVICE, name })?.spec ?? {}) as { clusterIP?: string }
  if (!clusterIP || clusterIP === 'None') return `${name}.${world.namespace}.svc.cluster.local`
  return clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP
}

/** Whether the NIM answered. Never rejects: the next plan says what the problem was. */
async function askAndKeep(
  { answers, ask }: Asking,
  on: { key: string; of: string; url: string; failures: number },
): Promise<boolean> {
  try {
    answers.set(on.key, { of: on.of, answer: await ask(on.url) })
    return true
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err)
    const problem = `${on.url}/v1/models does not answer the operator (${reason}); see the log of the pod, and whether a NetworkPolicy lets the operator in`
    answers.set(on.key, { of: on.of, problem, failures: on.failures + 1 })
    return on.failures === 0
  }
}

function kserve(input: PodInput, on: Told): Plan {
  const { name, world } = input
  const gone: ObjectRef[] = [
    { ...DEPLOYMENT, name },
    { ...SERVICE, name },
  ]
  if (!world.served(INFERENCE_SERVICE.apiVersion, INFERENCE_SERVICE.kind)) {
    const message =
      'KServe is not installed (no serving.kserve.io InferenceService): install it, or set spec.inferencePlatform to standalone'
    const found = notReady('KServeAbsent', message)
    return {
      apply: accountObjects(input),
      ...statusFrom(found, { notes: on.notes, foreignImage: on.foreign }),
    }
  }
  const live = world.get({ ...INFERENCE_SERVICE, name })
  const {
    conditions = [],
    url = '',
    address,
  } = (live?.status ?? {}) as {
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    url?: string
    address?: { url?: string }
  }
  const ready = conditions.find((each) => each.type === 'Ready')
  const why = [ready?.reason, ready?.message].filter(Boolean).join(': ') || 'KServe has not made it ready yet'
  const found: Readiness =
    ready?.status === 'True'
      ? { state: 'Ready', reason: 'Ready', message: 'the InferenceService is ready', availableReplicas: 1 }
      : notReady('InferenceServiceNotReady', why)
  const { status, events } = statusFrom(found, { notes: on.notes, foreignImage: on.foreign })
  const model = {
    name: input.storage.model ?? '',
    clusterEndpoint: address?.url ?? '',
    externalEndpoint: url,
  }
  return {
    apply: [...accountObjects(input), ...input.storage.claims, inferenceService(input)],
    remove: gone,
    status: { ...status, ...(found.state === 'Ready' ? { model } : {}) },
    events,
  }
}

function notReady(reason: string, message: string, availableReplicas = 0): Readiness {
  return { state: 'NotReady', reason, message, availableReplicas }
}

function notesOf(resource: KubeObject): string[] {
  const paths = notActedOn(resource.spec, [...commonPaths(resource.spec as CommonSpec), ...ACTED]).map(
    (path) => `spec.${path}`,
  )
  const without = paths.filter((path) => path !== 'spec.inferencePlatform')
  return without.length > 0 ? [`kept and without effect: ${without.slice(0, 20).join(', ')}`] : []
}

function foreignImage({ maker, image, world }: PodInput): string | undefined {
  if (maker === 'ours') return undefined
  if (maker === 'other')
    return `${image} is neither ours nor NVIDIA's: it runs under restricted-v2 with its own entrypoint`
  const bound =
    world.defaults.podSecurity === 'openshift'
      ? ' under the SCC nonroot, to which its ServiceAccount is bound'
      : ''
  return `${image} is NVIDIA's: it runs as user ${1000} with a writable root file system${bound}; Pod Security restricted refuses it`
}
