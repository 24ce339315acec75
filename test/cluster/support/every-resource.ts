// SPDX-License-Identifier: Apache-2.0
// A resource of every kind with everything that can be switched on, once with our images and once with NVIDIA's.
import type { KubeObject } from '@open-nemo/operator/framework/types.ts'
import { CLUSTER, SAMPLES } from '@open-nemo/operator/nemo-service/samples.ts'

type Fields = Record<string, unknown>

export interface Resource {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace: string }
  spec: Fields
  status?: { conditions?: { message?: string }[] }
}

/** A resource and what must come of it, as kind and name. */
export interface Wanted extends Resource {
  makes: [kind: string, name: string][]
}

const APPS = 'apps.nvidia.com/v1alpha1'
const OURS = { repository: 'localhost/open-nemo/services', tag: '0.1.0' }
const NVIDIA = { repository: 'nvcr.io/nvidia/nemo-microservices/it', tag: '25.12' }
const PULLER = 'nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8'
/** Kinds of everything that `OPTIONS` asks for. */
const OUTWARD = ['ingress', 'httproute', 'hpa', 'servicemonitor']
const BASICS = ['serviceaccount', 'service', 'deployment']
const ACCESS = ['role', 'rolebinding']

const OPTIONS: Fields = {
  expose: {
    service: { port: 8080, annotations: { s: 't' } },
    ingress: { enabled: true, spec: { ingressClassName: 'nginx' } },
    router: {
      hostDomainName: 'apps.example.com',
      gateway: { name: 'gateway', namespace: 'gateways', httpRoutesEnabled: true },
    },
  },
  metrics: { enabled: true, serviceMonitor: { interval: '30s' } },
  scale: { enabled: true, hpa: { minReplicas: 1, maxReplicas: 4 } },
}

const FROM_MODELS: Fields = {
  env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'models', key: 'k', optional: true } } }],
}
/** Every field of a NIMService that reaches a pod. */
const FULL_POD: Fields = {
  image: { repository: PULLER.split(':')[0], tag: '1.8', pullPolicy: 'Always', pullSecrets: ['key'] },
  ...FROM_MODELS,
  command: ['nim'],
  args: ['--serve'],
  labels: { team: 'a' },
  annotations: { note: 'b' },
  nodeSelector: { disk: 'fast' },
  tolerations: [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 5 }],
  affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
  resources: { limits: { 'nvidia.com/gpu': 1 }, requests: { cpu: '1' } },
  runtimeClassName: 'nvidia',
  schedulerName: 'other',
  userID: 77,
  groupID: 88,
  startupProbe: { probe: { httpGet: { path: '/ready', port: 8000 }, failureThreshold: 9 } },
  initContainers: [{ name: 'before', image: { repository: 'localhost/x', tag: '1' }, command: ['true'] }],
  sidecarContainers: [{ name: 'sidecar', image: { repository: 'localhost/y', tag: '1' } }],
  expose: { service: { port: 8000, grpcPort: 8001, metricsPort: 8002 } },
  scale: { enabled: true, hpa: { minReplicas: 2, maxReplicas: 5 } },
}

const PODS = [{ name: 'NEMO_EXECUTOR', value: 'kubernetes' }]
const SECRET = { secretName: 'pg', passwordKey: 'pw' }
/** Beside what a kind cannot do without. */
const MORE: Record<string, Fields[]> = {
  NemoCustomizer: [
    {
      scheduler: { type: 'volcano' },
      wandb: { secretName: 'wandb', apiKeyKey: 'k' },
      modelConfig: { name: 'models' },
      trainingConfig: {
        configMap: { name: 'training' },
        modelPVC: { create: true, name: 'models', size: '1Gi', volumeAccessMode: 'ReadWriteOnce' },
        workspacePVC: { size: '1Gi' },
      },
    },
    { scheduler: { type: 'runai' } },
  ],
  NemoDatastore: [
    {
      secrets: {
        datastoreConfigSecret: 's1',
        datastoreInitSecret: 's2',
        datastoreInlineConfigSecret: 's3',
        giteaAdminSecret: 's4',
        lfsJwtSecret: 's5',
      },
    },
  ],
  NemoEntitystore: [{}],
  // Jobs in pods of their own: as batch Jobs, and as Workflows with its own account.
  NemoEvaluator: [
    { env: PODS },
    { env: PODS, argoWorkflows: { endpoint: 'http://argo:2746', serviceAccount: '' } },
  ],
  NemoGuardrail: [
    {
      configStore: { pvc: { create: true, size: '1Gi', volumeAccessMode: 'ReadWriteOnce' } },
      databaseConfig: { host: 'db', databaseName: 'g', credentials: { user: 'u', ...SECRET } },
    },
    { configStore: { configMap: { name: 'training' } } },
  ],
}

const pairs = (kinds: string[], name: string) => kinds.map((kind): [string, string] => [kind, name])

function services(namespace: string): Wanted[] {
  return SAMPLES.flatMap(({ kind, small }) =>
    (MORE[kind] ?? []).flatMap((more, i) =>
      [OURS, NVIDIA].map((image) => {
        const name = `${kind.toLowerCase()}-${image === OURS ? 'ours' : 'theirs'}-${i}`
        const hasRole = image === NVIDIA || ['NemoCustomizer', 'NemoEvaluator'].includes(kind)
        return {
          apiVersion: APPS,
          kind,
          metadata: { name, namespace },
          spec: { ...small, ...OPTIONS, ...more, image },
          makes: pairs([...BASICS, ...OUTWARD, ...(hasRole ? ACCESS : [])], name),
        }
      }),
    ),
  )
}

function models(namespace: string): Wanted[] {
  const of = (kind: string, name: string, spec: Fields, makes: Wanted['makes']): Wanted => ({
    apiVersion: APPS,
    kind,
    metadata: { name, namespace },
    spec,
    makes,
  })
  const dataStore = { endpoint: 'http://store:8000/v1/hf', namespace: 'a', modelName: 'm' }
  const ngc = { modelPuller: PULLER, authSecret: 'key', model: { profiles: ['p'] } }
  const storage = { pvc: { create: true, size: '1Gi' } }
  const claim = { storage: { pvc: { create: true, size: '1Gi', volumeAccessMode: 'ReadWriteOnce' } } }
  const service = { ...OPTIONS, ...claim }
  return [
    of('NIMCache', 'cache-ours', { source: { dataStore }, storage }, [
      ['pvc', 'cache-ours-pvc'],
      ['serviceaccount', 'cache-ours-puller'],
    ]),
    of('NIMCache', 'cache-theirs', { source: { ngc }, storage }, [
      ['pvc', 'cache-theirs-pvc'],
      ...pairs(['serviceaccount', ...ACCESS], 'cache-theirs-puller'),
    ]),
    of('NIMService', 'nim-ours', { image: OURS, ...service }, pairs([...BASICS, ...OUTWARD], 'nim-ours')),
    of(
      'NIMService',
      'nim-theirs',
      {
        image: { repository: PULLER.split(':')[0], tag: '1.8' },
        authSecret: 'key',
        ...FROM_MODELS,
        ...service,
      },
      pairs([...BASICS, ...OUTWARD, ...ACCESS], 'nim-theirs'),
    ),
    of('NIMService', 'nim-kserve', { image: OURS, inferencePlatform: 'kserve', ...claim }, [
      ['inferenceservice', 'nim-kserve'],
    ]),
    of('NIMService', 'nim-kserve-full', { ...FULL_POD, inferencePlatform: 'kserve', ...claim }, [
      ['inferenceservice', 'nim-kserve-full'],
      ...pairs(['serviceaccount', ...ACCESS], 'nim-kserve-full'),
    ]),
    of(
      'NIMPipeline',
      'pipeline',
      { services: [{ name: 'nim-of-pipeline', spec: { image: OURS, ...claim } }] },
      [['nimservice', 'nim-of-pipeline'], ...pairs(BASICS, 'nim-of-pipeline')],
    ),
  ]
}

function trainings(namespace: string): Wanted[] {
  return ['job', 'volcano'].map((type) => ({
    apiVersion: 'nvidia.com/v1alpha1',
    kind: 'NemoTrainingJob',
    metadata: { name: `training-${type}`, namespace },
    spec: { jobId: `cust-${type}`, callbackURL: 'http://customizer:9009', scheduler: { type } },
    makes: [
      ['secret', `training-${type}-token`],
      ['pvc', `training-${type}-workspace`],
    ],
  }))
}

/** Every kind, with every option. */
export const everyResource = (namespace: string): Wanted[] => [
  ...services(namespace),
  ...models(namespace),
  ...trainings(namespace),
]

/** What they name: Secrets, ConfigMaps and a claim. */
export function namedByThem(): KubeObject[] {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } }
  const token = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'nemo-internal-token' } }
  return [
    ...CLUSTER.map((o) => (o.kind === 'PersistentVolumeClaim' ? { ...o, spec } : o)),
    { ...token, stringData: { token: 'a token of this test' } },
  ]
}

/** The same resources with all options switched off again, so that what was made for them goes. */
export const withoutOptions = (all: Wanted[]): Resource[] =>
  all
    .filter(({ spec }) => spec.scale && spec.inferencePlatform !== 'kserve')
    .map(({ makes: _, spec: { expose: _e, metrics: _m, scale: _s, ...spec }, ...rest }) => ({
      ...rest,
      spec,
    }))
