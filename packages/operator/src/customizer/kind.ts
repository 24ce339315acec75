// SPDX-License-Identifier: Apache-2.0
import { type NemoCustomizerSpec, nemoCustomizerSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { stringify } from 'yaml'
import type { World } from '../framework/types.ts'
import { CLAIM, claimObjects, claimPaths } from '../nemo-service/claims.ts'
import { databaseAccess, fromSecret, urlSecret } from '../nemo-service/database.ts'
import { configMapRef, secretRef, secretText } from '../nemo-service/inputs.ts'
import { OTEL_PATHS, otelEnv } from '../nemo-service/otel.ts'
import type { Build, BuildInput, Fields, NemoKind } from '../nemo-service/types.ts'
import type { ImageMaker } from '../pod-basics/images.ts'
import { variables } from '../pod-basics/placement.ts'
import { customizerConfig } from './config-file.ts'
import { customizerRules } from './rules.ts'

const INTERNAL_PORT = 9009
const MODELS = 'trainingConfig.modelPVC'

export const customizer: NemoKind<NemoCustomizerSpec> = {
  kind: 'NemoCustomizer',
  plural: 'nemocustomizers',
  service: 'customizer',
  schema: nemoCustomizerSpec,
  port: 8000,
  probes: { startup: '/v1/health/ready', live: '/v1/health/live', ready: '/v1/health/ready' },
  selector: ['name'],
  acted: [
    'databaseConfig',
    'datastore.endpoint',
    'entitystore.endpoint',
    'mlflow.endpoint',
    'wandb.secretName',
    'wandb.apiKeyKey',
    'wandb.encryptionKey',
    'wandb.entity',
    'wandb.projectName',
    'scheduler.type',
    'scheduler.queue',
    'modelConfig.name',
    'nemoDatastoreTools.image',
    'modelDownloadJobs.image',
    'modelDownloadJobs.imagePullPolicy',
    'modelDownloadJobs.ngcAPISecret',
    'modelDownloadJobs.hfSecret',
    'modelDownloadJobs.securityContext',
    'modelDownloadJobs.ttlSecondsAfterFinished',
    'modelDownloadJobs.pollIntervalSeconds',
    'trainingConfig.configMap.name',
    'trainingConfig.image',
    'trainingConfig.env',
    ...claimPaths(MODELS),
    ...['storageClass', 'volumeAccessMode', 'size', 'mountPath'].map(
      (f) => `trainingConfig.workspacePVC.${f}`,
    ),
    ...['networkConfig', 'ttlSecondsAfterFinished', 'timeout', 'sharedMemorySizeLimit'].map(inTraining),
    ...['tolerations', 'nodeSelector', 'affinity', 'resources'].map(inTraining),
    ...OTEL_PATHS,
  ],
  references: ({ databaseConfig, modelConfig, trainingConfig, wandb }, name) => [
    secretRef(databaseConfig.credentials.secretName),
    ...(modelConfig ? [configMapRef(modelConfig.name)] : []),
    ...(trainingConfig?.configMap?.name ? [configMapRef(trainingConfig.configMap.name)] : []),
    ...(trainingConfig?.modelPVC ? [{ ...CLAIM, name: trainingConfig.modelPVC.name || `${name}-pvc` }] : []),
    ...(wandb?.secretName ? [secretRef(wandb.secretName)] : []),
  ],
  build,
}

function inTraining(field: string): string {
  return `trainingConfig.${field}`
}

function build(input: BuildInput<NemoCustomizerSpec>): Build {
  const { name, namespace, spec, world, maker } = input
  const access = databaseAccess(spec.databaseConfig, world)
  const config = customizerConfig(input)
  const models = spec.trainingConfig?.modelPVC
  const claim = models ? claimObjects(models, `${name}-pvc`, world, MODELS) : { objects: [], missing: [] }
  const file = stringify(config.content)
  return {
    missing: [...access.missing, ...config.missing, ...claim.missing],
    notes: [...config.notes, ...unusedByOurs(spec), ...wandbNotes(spec, world)],
    objects: [
      ...(access.url ? [urlSecret(name, 'dsn', access.url)] : []),
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { 'config.yaml': file } },
      ...claim.objects,
    ],
    rules: customizerRules(spec.scheduler?.type, maker),
    extraPorts: [{ name: 'internal', port: INTERNAL_PORT }],
    volumes: [{ name: 'config', configMap: { name, items: [{ key: 'config.yaml', path: 'config.yaml' }] } }],
    mounts: [{ name: 'config', mountPath: '/app/config', readOnly: true }],
    env: [
      ...variables([
        ['NAMESPACE', namespace],
        ['CONFIG_PATH', '/app/config/config.yaml'],
        ['CUSTOMIZATIONS_CALLBACK_URL', `http://${name}.${namespace}.svc.cluster.local:${INTERNAL_PORT}`],
        ['LOG_LEVEL', maker === 'ours' ? 'info' : 'INFO'],
      ]),
      { name: 'HOST_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
      ...wandbEnv(spec, maker),
      { name: 'POSTGRES_DB_PASSWORD', valueFrom: access.passwordRef },
      { name: 'POSTGRES_DB_DSN', valueFrom: fromSecret(name, 'dsn') },
      ...variables([['POSTGRES_SECRET_NAME', spec.databaseConfig.credentials.secretName]]),
      ...(maker === 'ours' ? variables([['NEMO_EXECUTOR', 'kubernetes']]) : []),
      ...otelEnv(spec.otel),
    ],
  }
}

/** What Weights & Biases takes; all of it optional, since a Customizer without it starts all the same. */
function wandbEnv({ wandb }: NemoCustomizerSpec, maker: ImageMaker): Fields[] {
  if (!wandb?.secretName) return []
  const { secretName, apiKeyKey, encryptionKey } = wandb
  const from = (name: string, key: string) => ({
    name,
    valueFrom: fromSecret(secretName, key, { optional: true }),
  })
  return [
    from('WANDB_ENCRYPTION_KEY', encryptionKey || 'encryptionKey'),
    // Ours logs every job itself, and may not read Secrets: the kubelet hands it the key. Training pods get none.
    ...(maker === 'ours' ? [from('WANDB_API_KEY', apiKeyKey || 'apiKey')] : []),
    ...variables([
      ['WANDB_SECRET_NAME', secretName],
      ['WANDB_SECRET_KEY', apiKeyKey],
    ]),
  ]
}

/** Jobs that bring no key of their own are not logged then, which nothing else would tell. */
function wandbNotes({ wandb }: NemoCustomizerSpec, world: World): string[] {
  if (!wandb?.secretName) return []
  const key = wandb.apiKeyKey || 'apiKey'
  if (secretText(world.get(secretRef(wandb.secretName)), key)?.trim()) return []
  return [
    `spec.wandb: Secret ${wandb.secretName} has no key ${key}: only jobs with the header wandb-api-key are logged to ` +
      'Weights & Biases',
  ]
}

/** Fields that reach config.yaml, which other images read and ours does not. */
function unusedByOurs(spec: NemoCustomizerSpec): string[] {
  const unused = [
    spec.modelDownloadJobs &&
      'spec.modelDownloadJobs (our models come with the image or through the Data Store)',
    spec.nemoDatastoreTools && 'spec.nemoDatastoreTools',
    spec.trainingConfig?.networkConfig?.length && 'spec.trainingConfig.networkConfig',
  ].filter(Boolean)
  return unused.length > 0
    ? [`written to config.yaml and without effect in our image: ${unused.join(', ')}`]
    : []
}
