// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { ConfigError, type Logger, type ServiceContext } from '@open-nemo/runtime'
import {
  createKubernetesApi,
  createKubernetesExecutor,
  type Executor,
  inCluster,
  type KubernetesApi,
} from '@open-nemo/runtime/executors/index.ts'
import { parse } from 'yaml'
import { z } from 'zod'

const callback = z.object({
  /** Where training pods reach the internal port. */
  CUSTOMIZATIONS_CALLBACK_URL: z.url("must be the URL of the customizer's internal port"),
  /** The operator's file with what training pods look like. */
  CONFIG_PATH: z.string().default('/app/config/config.yaml'),
})

const names = z.array(z.object({ name: z.string() }).loose())

/** The section `training` of the customizer's config.yaml; its names are those of the drop-in contract. */
export const trainingSection = z
  .object({
    image: z.string().optional(),
    imagePullPolicy: z.string().optional(),
    imagePullSecrets: names.optional(),
    env: names.optional(),
    workspace_dir: z.string().optional(),
    ttl_seconds_after_finished: z.number().int().min(0).optional(),
    training_timeout: z.number().int().min(1).optional(),
    backoff_limit: z.number().int().min(0).optional(),
    service_account: z.string().optional(),
    scheduler: z.object({ type: z.string().optional(), queue: z.string().optional() }).loose().optional(),
    pvc: z
      .object({
        storageClass: z.string().optional(),
        volumeAccessMode: z.string().optional(),
        size: z.string().optional(),
      })
      .loose()
      .optional(),
    volumes: names.optional(),
    volumeMounts: names.optional(),
    nodeSelector: z.record(z.string(), z.string()).optional(),
    tolerations: z.array(z.record(z.string(), z.unknown())).optional(),
    affinity: z.record(z.string(), z.unknown()).optional(),
    resources: z.record(z.string(), z.unknown()).optional(),
  })
  .loose()

type Training = z.infer<typeof trainingSection>
type Env = ServiceContext['env']

/**
 * The executor of a customizer in a cluster. Its file is read again for each job, so that a changed image or
 * toleration counts from the next one on.
 */
export async function createClusterExecutor(
  ctx: { env: Env; log: Logger },
  given?: KubernetesApi,
): Promise<Executor> {
  const result = callback.safeParse(ctx.env)
  if (!result.success) {
    const lines = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new ConfigError(`bad configuration:\n  ${lines.join('\n  ')}`)
  }
  const { CONFIG_PATH, CUSTOMIZATIONS_CALLBACK_URL: url } = result.data
  const api = given ?? createKubernetesApi(await inCluster(ctx.env))
  const customizer = new URL(url).hostname.split('.')[0] ?? ''
  return createKubernetesExecutor({
    api,
    log: ctx.log,
    template: async () => jobTemplate(await readTraining(CONFIG_PATH), { url, customizer }),
    owner: () => serviceOwner(api, customizer, ctx.log),
  })
}

async function readTraining(path: string): Promise<Training> {
  const text = await readFile(path, 'utf8').catch((err) => {
    if (err.code === 'ENOENT') return ''
    throw err
  })
  const section = (parse(text) as { training?: unknown } | null)?.training ?? {}
  const result = trainingSection.safeParse(section)
  if (result.success) return result.data
  const lines = result.error.issues.map((issue) => `training.${issue.path.join('.')}: ${issue.message}`)
  throw new ConfigError(`bad ${path}:\n  ${lines.join('\n  ')}`)
}

/** The part of a NemoTrainingJob's spec that follows from the customizer's settings. */
export function jobTemplate(
  training: Training,
  on: { url: string; customizer: string },
): Record<string, unknown> {
  const { pvc } = training
  const spec = {
    callbackURL: on.url,
    serviceAccountName: training.service_account ?? on.customizer,
    image: training.image,
    imagePullPolicy: training.imagePullPolicy,
    imagePullSecrets: training.imagePullSecrets,
    env: training.env,
    resources: training.resources,
    nodeSelector: training.nodeSelector,
    tolerations: training.tolerations,
    affinity: training.affinity,
    scheduler: training.scheduler,
    workspace: defined({
      storageClass: pvc?.storageClass || undefined,
      accessMode: pvc?.volumeAccessMode,
      size: pvc?.size,
      mountPath: training.workspace_dir,
    }),
    volumes: training.volumes,
    volumeMounts: training.volumeMounts,
    backoffLimit: training.backoff_limit,
    activeDeadlineSeconds: training.training_timeout,
    ttlSecondsAfterFinished: training.ttl_seconds_after_finished,
  }
  return defined(spec)
}

function defined<T extends Record<string, unknown>>(record: T): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
}

/** The customizer's Service: it goes with the customizer, and its jobs go with it. */
async function serviceOwner(
  api: KubernetesApi,
  name: string,
  log: Logger,
): Promise<Record<string, unknown> | undefined> {
  try {
    const path = `/api/v1/namespaces/${api.namespace}/services/${name}`
    const { metadata } = await api.call<{ metadata: { uid: string } }>('GET', path)
    return { apiVersion: 'v1', kind: 'Service', name, uid: metadata.uid }
  } catch (err) {
    log.warn({ err, service: name }, 'training jobs get no owner: they stay when the customizer goes')
    return undefined
  }
}
