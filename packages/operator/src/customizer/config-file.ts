// SPDX-License-Identifier: Apache-2.0
import type { NemoCustomizerSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { parse } from 'yaml'
import type { KubeObject, World } from '../framework/types.ts'
import { configMapRef } from '../nemo-service/inputs.ts'
import type { BuildInput, Fields } from '../nemo-service/types.ts'
import { joinImage } from '../pod-basics/images.ts'

export interface CustomizerConfig {
  /** What the file config.yaml says. */
  content: Fields
  missing: string[]
  notes: string[]
}

const SHARED_MEMORY = 'dshm'

/** The customizer's config.yaml, from the resource and the two ConfigMaps that it names. */
export function customizerConfig(input: BuildInput<NemoCustomizerSpec>): CustomizerConfig {
  const { namespace, spec, world } = input
  const models = section(world, spec.modelConfig?.name, 'spec.modelConfig')
  const training = section(world, spec.trainingConfig?.configMap?.name, 'spec.trainingConfig.configMap')
  const given = models.parsed
  const content = defined({
    namespace,
    entity_store_url: spec.entitystore?.endpoint,
    nemo_data_store_url: spec.datastore?.endpoint,
    mlflow_tracking_url: spec.mlflow?.endpoint,
    nemo_data_store_tools: spec.nemoDatastoreTools
      ? { image: spec.nemoDatastoreTools.image, imagePullSecret: spec.image.pullSecrets?.[0] ?? '' }
      : undefined,
    wandb: spec.wandb ? { project: spec.wandb.projectName, entity: spec.wandb.entity ?? 'null' } : undefined,
    model_download_jobs: downloadJobs(spec),
    training: { ...(training.parsed.training as Fields | undefined), ...trainingSection(input) },
    models: given.models,
    customizationTargets: given.customizationTargets,
    customizationConfigTemplates: given.customizationConfigTemplates,
  })
  return {
    content,
    missing: [...models.missing, ...training.missing],
    notes: [...models.notes, ...training.notes, ...targetNotes(given)],
  }
}

/** The YAML below each key of a ConfigMap. */
function section(world: World, name: string | undefined, field: string) {
  const out = { parsed: {} as Fields, missing: [] as string[], notes: [] as string[] }
  if (!name) return out
  const found: KubeObject | undefined = world.get(configMapRef(name))
  if (!found)
    out.missing.push(`ConfigMap ${name} of ${field} does not exist: make it, or leave the field out`)
  for (const [key, text] of Object.entries((found?.data as Record<string, string> | undefined) ?? {})) {
    try {
      out.parsed[key] = parse(text)
    } catch (err) {
      out.missing.push(
        `ConfigMap ${name}: the key ${key} is no YAML (${(err as Error).message.split('\n')[0]}): mend it`,
      )
    }
  }
  return out
}

/** What our image cannot do of what a modelConfig asks for; the Customizer's targets say the rest one by one. */
function targetNotes(given: Fields): string[] {
  const { targets, hfTargetDownload } = (given.customizationTargets ?? {}) as {
    targets?: Record<string, { model_uri?: string; enabled?: boolean } | null>
    hfTargetDownload?: { enabled?: boolean }
  }
  const fromNgc = Object.entries(targets ?? {})
    .filter(([, target]) => target?.enabled !== false && target?.model_uri?.startsWith('ngc://'))
    .map(([name]) => name)
  const shown = `${fromNgc.slice(0, 4).join(', ')}${fromNgc.length > 4 ? '…' : ''}`
  return [
    ...(fromNgc.length > 0
      ? [
          `spec.modelConfig: our image fetches nothing from NGC. Targets whose weights it has by another name are ` +
            `tuned with those, the others are listed as failed: ${shown}`,
        ]
      : []),
    ...(hfTargetDownload?.enabled
      ? [
          'spec.modelConfig: hfTargetDownload is without effect in our image: models come from its models.json',
        ]
      : []),
  ]
}

function downloadJobs(spec: NemoCustomizerSpec): Fields | undefined {
  const jobs = spec.modelDownloadJobs
  if (!jobs) return undefined
  return defined({
    image: jobs.image,
    imagePullPolicy: jobs.imagePullPolicy || spec.image.pullPolicy,
    imagePullSecrets: spec.image.pullSecrets?.map((name) => ({ name })),
    securityContext: jobs.securityContext,
    ttlSecondsAfterFinished: jobs.ttlSecondsAfterFinished,
    pollIntervalSeconds: jobs.pollIntervalSeconds,
    ngcAPISecret: jobs.ngcAPISecret?.name,
    ngcAPISecretKey: jobs.ngcAPISecret?.name ? jobs.ngcAPISecret.key || 'NGC_API_KEY' : undefined,
    hfSecretName: jobs.hfSecret?.name,
    hfSecretKey: jobs.hfSecret?.name ? jobs.hfSecret.key || 'HF_TOKEN' : undefined,
  })
}

/** What training pods look like. */
function trainingSection({ name, spec }: BuildInput<NemoCustomizerSpec>): Fields {
  const t = spec.trainingConfig ?? {}
  const { repository, tag, pullPolicy, pullSecrets } = t.image ?? {}
  const { storageClass, volumeAccessMode, size, mountPath } = t.workspacePVC ?? {}
  const models = t.modelPVC ? t.modelPVC.name || `${name}-pvc` : undefined
  const memory = t.sharedMemorySizeLimit ? { sizeLimit: String(t.sharedMemorySizeLimit) } : {}
  return defined({
    service_account: name,
    image: repository && tag ? joinImage({ repository, tag }) : undefined,
    imagePullPolicy: pullPolicy || undefined,
    imagePullSecrets: pullSecrets?.map((secret) => ({ name: secret })),
    env: t.env,
    training_networking: t.networkConfig,
    workspace_dir: mountPath,
    use_run_ai_executor: spec.scheduler?.type === 'runai' ? true : undefined,
    scheduler: spec.scheduler
      ? defined({ type: spec.scheduler.type, queue: spec.scheduler.queue })
      : undefined,
    ttl_seconds_after_finished: t.ttlSecondsAfterFinished,
    training_timeout: t.timeout || undefined,
    pvc: t.workspacePVC ? defined({ storageClass, volumeAccessMode, size }) : undefined,
    volumes: [
      ...(models ? [{ name: 'models', persistentVolumeClaim: { claimName: models, readOnly: true } }] : []),
      { name: SHARED_MEMORY, emptyDir: { medium: 'Memory', ...memory } },
    ],
    volumeMounts: [
      ...(models ? [{ name: 'models', mountPath: '/mount/models', readOnly: true }] : []),
      { name: SHARED_MEMORY, mountPath: '/dev/shm' },
    ],
    tolerations: t.tolerations,
    nodeSelector: t.nodeSelector,
    affinity: t.affinity,
    resources: t.resources,
  })
}

const defined = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined))
