// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import type { CustomizerConfig } from '../config.ts'
import type { JobPayload } from '../jobs/types.ts'
import { createMlflow } from './mlflow.ts'
import type { Sealer } from './seal.ts'
import type { Tracker } from './tracker.ts'
import { createWandb } from './wandb.ts'

// What NVIDIA's customizer calls them.
const DEFAULT_PROJECT = 'nvidia-nemo-customizer'

const text = z.string().max(5000).nullish()
const wandb = z.looseObject({
  project: text,
  entity: text,
  name: text,
  notes: text,
  tags: z.array(z.string()).nullish(),
})
const mlflow = z.looseObject({
  experiment_name: text,
  tags: z.record(z.string(), z.string()).nullish(),
})

/** The part of the operator's file that says where a cluster's MLflow is. */
const clusterFile = z.looseObject({
  mlflow_tracking_url: z.string().nullish(),
  wandb: z.looseObject({ project: z.string().nullish(), entity: z.string().nullish() }).nullish(),
})

export interface TrackerContext {
  config: Pick<CustomizerConfig, 'mlflowUrl' | 'wandb'>
  /** The operator's file, on a cluster. */
  configPath: string | undefined
  sealer: Sealer
  fetch: typeof globalThis.fetch
}

/** Where this job's metrics go: MLflow when the platform has one, Weights & Biases when there is a key. */
export async function trackersOf(ctx: TrackerContext, payload: JobPayload): Promise<Tracker[]> {
  const cluster = await readClusterFile(ctx.configPath)
  const trackers: Tracker[] = []
  const url = ctx.config.mlflowUrl ?? cluster.mlflow_tracking_url
  if (url) {
    const asked = mlflow.safeParse(integrationOf(payload, 'mlflow')).data ?? {}
    const experiment = asked.experiment_name || DEFAULT_PROJECT
    trackers.push(createMlflow({ url, experiment, tags: asked.tags ?? {}, fetch: ctx.fetch }))
  }
  const own = payload.wandb_key && ctx.sealer.open(payload.wandb_key)
  const apiKey = own || ctx.config.wandb.apiKey
  if (apiKey) {
    const asked = wandb.safeParse(integrationOf(payload, 'wandb')).data ?? {}
    // The operator that this file is named after writes "null" for an entity that nobody gave.
    const entity = asked.entity || (cluster.wandb?.entity === 'null' ? undefined : cluster.wandb?.entity)
    trackers.push(
      createWandb({
        baseUrl: ctx.config.wandb.baseUrl,
        apiKey,
        settings: {
          project: asked.project || cluster.wandb?.project || DEFAULT_PROJECT,
          entity: entity || undefined,
          displayName: asked.name || undefined,
          notes: asked.notes || undefined,
          tags: asked.tags ?? [],
        },
        fetch: ctx.fetch,
      }),
    )
  }
  return trackers
}

/** The settings of the job's integration of this type: `{"type": "wandb", "wandb": {…}}`. */
function integrationOf(payload: JobPayload, type: string): Record<string, unknown> {
  const all = (payload.kept.integrations as Record<string, unknown>[] | undefined) ?? []
  const found = all.find((each) => each.type === type || (each.type == null && each[type]))
  return (found?.[type] as Record<string, unknown> | undefined) ?? {}
}

/** Says which of a job's integrations will log nothing, and why. */
export function integrationProblems(
  integrations: Record<string, unknown>[],
  has: { mlflow: boolean; wandbKey: boolean },
): { message: string; explanation: string }[] {
  return integrations.flatMap((each) => {
    const type = String(each.type ?? (each.wandb ? 'wandb' : each.mlflow ? 'mlflow' : 'unnamed'))
    const problem = (explanation: string) => [
      { message: `the integration ${type} logs nothing`, explanation },
    ]
    if (type === 'wandb') return has.wandbKey ? [] : problem('send the key in the header wandb-api-key')
    if (type === 'mlflow') return has.mlflow ? [] : problem('NEMO_MLFLOW_URL says where MLflow is')
    return problem('wandb and mlflow are the integrations there are')
  })
}

export async function readClusterFile(path: string | undefined): Promise<z.infer<typeof clusterFile>> {
  if (!path) return {}
  const source = await readFile(path, 'utf8').catch(() => '')
  return clusterFile.safeParse(parse(source) ?? {}).data ?? {}
}
