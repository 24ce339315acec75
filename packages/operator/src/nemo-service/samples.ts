// SPDX-License-Identifier: Apache-2.0
// Resources with every field set, for the tests of all five kinds.
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import type { Controller, KubeObject } from '../framework/types.ts'
import { resource } from '../pod-basics/testing.ts'
import {
  customizerController,
  datastoreController,
  entitystoreController,
  evaluatorController,
  guardrailController,
} from './index.ts'

type Fields = Record<string, unknown>

/** Fields that every kind has. */
const COMMON: Fields = {
  image: {
    repository: 'localhost/open-nemo/services',
    tag: '0.1.0',
    pullPolicy: 'IfNotPresent',
    pullSecrets: ['ngc-secret'],
  },
  command: ['nemoctl'],
  args: ['serve', 'it'],
  env: [{ name: 'MINE', value: '1' }],
  labels: { team: 'a' },
  annotations: { note: 'b' },
  nodeSelector: { disk: 'fast' },
  tolerations: [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 5 }],
  affinity: {
    podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [] },
    nodeAffinity: { x: 1 },
  },
  podAffinity: { old: true },
  resources: { requests: { cpu: '100m' }, limits: { memory: '1Gi' } },
  expose: {
    service: {
      type: 'NodePort',
      name: 'ignored',
      port: 8080,
      grpcPort: 1,
      metricsPort: 2,
      annotations: { s: 't' },
    },
    ingress: {
      enabled: true,
      annotations: { i: 'j' },
      spec: { ingressClassName: 'nginx', rules: [{ host: 'h' }] },
    },
    router: { hostDomainName: 'apps.example.com', annotations: { r: 'q' } },
  },
  metrics: {
    enabled: true,
    serviceMonitor: {
      additionalLabels: { l: 'm' },
      annotations: { n: 'o' },
      interval: '30s',
      scrapeTimeout: '5s',
    },
  },
  scale: {
    enabled: true,
    annotations: { p: 'q' },
    hpa: { minReplicas: 1, maxReplicas: 4, metrics: [{ type: 'Resource' }], behavior: { scaleUp: { a: 1 } } },
  },
  userID: 1234,
  groupID: 2345,
  runtimeClass: 'kata',
  notKnownToAnyone: { deep: 'value' },
}

const DATABASE: Fields = {
  host: 'db',
  port: 5433,
  databaseName: 'thedb',
  credentials: { user: 'theuser', secretName: 'pg', passwordKey: 'pw' },
}

const OTEL: Fields = {
  enabled: true,
  exporterOtlpEndpoint: 'http://otel:4317',
  disableLogging: true,
  exporterConfig: { tracesExporter: 'otlp', metricsExporter: 'console', logsExporter: 'none' },
  excludedUrls: ['health', 'metrics'],
  logLevel: 'DEBUG',
}

const CLAIM: Fields = {
  create: true,
  name: 'claim',
  storageClass: 'fast',
  size: '10Gi',
  volumeAccessMode: 'ReadWriteMany',
  subPath: 'sub',
  annotations: { c: 'd' },
}

const TRAINING: Fields = {
  configMap: { name: 'training' },
  image: {
    repository: 'localhost/open-nemo/trainer',
    tag: '0.1.0',
    pullPolicy: 'Always',
    pullSecrets: ['x'],
  },
  env: [{ name: 'LOG_LEVEL', value: 'INFO' }],
  modelPVC: CLAIM,
  workspacePVC: {
    storageClass: 'slow',
    volumeAccessMode: 'ReadWriteOnce',
    size: '5Gi',
    mountPath: '/pvc/workspace',
  },
  networkConfig: [{ name: 'NCCL', value: '1' }],
  ttlSecondsAfterFinished: 60,
  timeout: 3600,
  sharedMemorySizeLimit: '1Gi',
  tolerations: [{ key: 'train' }],
  nodeSelector: { train: 'yes' },
  affinity: { nodeAffinity: { y: 2 } },
  podAffinity: { old: true },
  resources: { limits: { cpu: '2' } },
}

export interface Sample {
  kind: string
  folder: string
  controller: Controller
  /** Every field of the kind. */
  full: Fields
  /** Only what it cannot do without. */
  small: Fields
}

const image = { repository: 'localhost/open-nemo/services', tag: '0.1.0' }
const url = (name: string) => ({ endpoint: `http://${name}:8000` })

export const SAMPLES: Sample[] = [
  {
    kind: 'NemoCustomizer',
    folder: 'customizer',
    controller: customizerController,
    small: { image, databaseConfig: DATABASE },
    full: {
      ...COMMON,
      databaseConfig: DATABASE,
      datastore: url('ds'),
      entitystore: url('es'),
      mlflow: url('mlflow'),
      wandb: { secretName: 'wandb', apiKeyKey: 'k', encryptionKey: 'e', entity: 'me', projectName: 'p' },
      otel: OTEL,
      scheduler: { type: 'volcano', queue: 'q' },
      modelConfig: { name: 'models' },
      nemoDatastoreTools: { image: 'tools:1' },
      modelDownloadJobs: {
        image: 'dl:1',
        imagePullPolicy: 'Always',
        ngcAPISecret: { name: 'ngc', key: 'NGC' },
        hfSecret: { name: 'hf', key: 'HF' },
        securityContext: { fsGroup: 1000 },
        ttlSecondsAfterFinished: 120,
        pollIntervalSeconds: 15,
      },
      trainingConfig: TRAINING,
    },
  },
  {
    kind: 'NemoDatastore',
    folder: 'datastore',
    controller: datastoreController,
    small: { image, databaseConfig: DATABASE, pvc: { create: true, size: '1Gi' } },
    full: {
      ...COMMON,
      databaseConfig: DATABASE,
      secrets: {
        datastoreConfigSecret: 's1',
        datastoreInitSecret: 's2',
        datastoreInlineConfigSecret: 's3',
        giteaAdminSecret: 's4',
        lfsJwtSecret: 's5',
      },
      objectStoreConfig: {
        credentials: { user: 'minio', secretName: 'minio', passwordKey: 'k' },
        endpoint: 'minio:80',
        bucketName: 'b',
        region: 'r',
        ssl: true,
        serveDirect: true,
      },
      pvc: CLAIM,
    },
  },
  {
    kind: 'NemoEntitystore',
    folder: 'entitystore',
    controller: entitystoreController,
    small: { image, databaseConfig: DATABASE },
    full: { ...COMMON, databaseConfig: DATABASE, datastore: url('ds') },
  },
  {
    kind: 'NemoEvaluator',
    folder: 'evaluator',
    controller: evaluatorController,
    small: { image, databaseConfig: DATABASE, datastore: url('ds'), entitystore: url('es') },
    full: {
      ...COMMON,
      databaseConfig: DATABASE,
      datastore: url('ds'),
      entitystore: url('es'),
      argoWorkflows: { endpoint: 'https://argo:2746', serviceAccount: 'wf' },
      vectorDB: { endpoint: 'http://milvus:19530' },
      evaluationImages: { lmEvalHarness: 'i1', rag: 'i2' },
      otel: OTEL,
      logHandlers: 'console',
      consoleLogLevel: 'INFO',
      evalLogLevel: 'INFO',
      enableValidation: true,
    },
  },
  {
    kind: 'NemoGuardrail',
    folder: 'guardrail',
    controller: guardrailController,
    small: { image },
    full: {
      ...COMMON,
      databaseConfig: DATABASE,
      configStore: { pvc: CLAIM },
      nimEndpoint: { baseURL: 'http://nim:8000/v1', apiKeySecret: 'key', apiKeyKey: 'k' },
      otel: OTEL,
    },
  },
]

/** A resource of a sample. */
export const resourceOf = (sample: Sample, spec: Fields) => resource(APPS_API, sample.kind, spec)

const base64 = (text: string) => Buffer.from(text).toString('base64')

const secret = (name: string, data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, base64(v)])),
})

/** Everything that the samples name. */
export const CLUSTER: KubeObject[] = [
  secret('pg', { pw: 'p@ss/w:rd#1' }),
  ...['s1', 's2', 's3', 's4', 's5', 'key', 'wandb', 'minio'].map((name) => secret(name, { k: 'x' })),
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'models' },
    data: {
      customizationTargets: 'targets:\n  meta/llama@1.0: {enabled: true, model_uri: ngc://nvidia/llama}\n',
    },
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'training' },
    data: { training: 'backoff_limit: 2\n' },
  },
  { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'sample-pvc' } },
]

export const SERVED = ['monitoring.coreos.com/v1/ServiceMonitor', 'gateway.networking.k8s.io/v1/HTTPRoute']
