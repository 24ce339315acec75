// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros, refuseUnstorable, UpstreamError } from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { FineTuningOrigin } from '@open-nemo/contract/customization/fine-tuning.ts'
import {
  type Hyperparameters,
  type HyperparametersInput,
  withDefaults,
} from '@open-nemo/contract/customization/hyperparameters.ts'
import {
  configCreate,
  type JobCreate,
  type TrainingOption,
} from '@open-nemo/contract/customization/schemas.ts'
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import {
  isUniqueViolation,
  type Queryable,
  type ServiceContext,
  traceOfNow,
  validate,
} from '@open-nemo/runtime'
import { listFiles, reach, resolveDataset, type SourceContext } from '../data/source.ts'
import { findByReference, referenceOf } from '../entities/references.ts'
import { type Entity, readEntity } from '../entities/store.ts'
import { requireWeights } from '../entities/targets.ts'
import { integrationProblems } from '../integrations/trackers.ts'
import { embeddingFields } from './embedding.ts'
import type { JobTable } from './list.ts'
import { type OutputModel, parseOutputModel } from './output-model.ts'
import { initialState } from './progress.ts'
import type { CustomizationJob, JobPayload } from './types.ts'
import { warningsOf } from './warnings.ts'

export interface CreateContext extends SourceContext {
  db: Queryable
  jobs: JobTable
  catalogue: ServiceContext['catalogue']
  /** Where metrics can go, and what keeps the keys for it. */
  tracking: { hasMlflow(): Promise<boolean>; hasWandbKey: boolean; seal(key: string): string }
}

const DEFAULT_TEMPLATE = '{prompt} {completion}'
const KEPT = ['description', 'project', 'custom_fields', 'ownership', 'dataset_parameters', 'integrations']

/**
 * Checks all that can be checked at once and stores the job. What this platform cannot do is refused here, naming
 * what works; hardware settings without meaning here become warnings.
 */
export async function createJob(
  ctx: CreateContext,
  body: JobCreate,
  more: { fineTuning?: FineTuningOrigin; validationPath?: string; wandbKey?: string } = {},
): Promise<CustomizationJob> {
  refuseUnstorable(body)
  const id = newId('cust')
  refuseUnsupported(body.hyperparameters)
  const config = await resolveConfig(ctx.db, body.config)
  const target = await resolveTarget(ctx, config)
  const embedding = embeddingFields(ctx.catalogue, String(target.base_model), body)
  const hyperparameters = withDefaults(body.hyperparameters, embedding.task)
  const option = pickOption(config, hyperparameters)
  const output = body.output_model ? parseOutputModel(body.output_model, id) : null
  const source = {
    ...(await resolveDataset(ctx, body.dataset)),
    ...(more.validationPath !== undefined && { validationPath: more.validationPath }),
  }
  const files = await listFiles(ctx, source)
  if (output) await refuseTaken(ctx, output)

  const chatTemplate = (config.chat_prompt_template as string | undefined) ?? null
  const hasValidation = files.validation.length > 0
  const payload: JobPayload = {
    namespace: body.namespace || 'default',
    name: body.name || null,
    kept: { custom_fields: {}, ownership: null, ...pick(body as Record<string, unknown>, KEPT) },
    config: referenceOf(config),
    target: referenceOf(target),
    config_snapshot: {
      base_model: String(target.base_model),
      max_seq_length: Number(config.max_seq_length),
      precision: String(config.training_precision ?? target.precision),
      training_option: option,
      prompt_template: String(config.prompt_template ?? DEFAULT_TEMPLATE),
    },
    chat_prompt_template: chatTemplate,
    ...embedding,
    tools: (body.dataset_parameters?.tools as Record<string, unknown>[] | null | undefined) ?? null,
    dataset: source.label,
    source,
    hyperparameters,
    has_warmup: body.hyperparameters.warmup_steps != null,
    ...(more.fineTuning && { fine_tuning: more.fineTuning }),
    ...(more.wandbKey && { wandb_key: ctx.tracking.seal(more.wandbKey) }),
    ...traceOfNow(),
    output_model: output?.full ?? null,
    warnings: [
      ...warningsOf({
        catalogue: ctx.catalogue,
        target,
        option,
        hyperparameters,
        hasValidation,
        hasTemplate: chatTemplate !== null,
      }),
      ...integrationProblems(body.integrations ?? [], {
        mlflow: await ctx.tracking.hasMlflow(),
        wandbKey: ctx.tracking.hasWandbKey || more.wandbKey !== undefined,
      }),
    ],
  }
  const now = nowMicros()
  try {
    return await ctx.jobs.enqueue({
      id,
      kind: 'customization',
      status: 'created',
      payload,
      state: initialState(now),
      createdAt: now,
    })
  } catch (err) {
    // Another job that has not ended yet makes the same model.
    if (isUniqueViolation(err) && output) throw errors.OUTPUT_MODEL_EXISTS({ name: output.full })
    throw err
  }
}

function refuseUnsupported(given: HyperparametersInput): void {
  const { training_type: training } = given
  if (training != null && training !== 'sft' && training !== 'dpo') {
    throw errors.UNSUPPORTED_TRAINING({ field: 'training_type', value: training })
  }
}

/** The config a job names: a reference, an object that names one, or a config written out in the job itself. */
async function resolveConfig(db: Queryable, config: JobCreate['config']): Promise<Entity> {
  if (typeof config === 'string') return await findByReference(db, 'config', config)
  const isWrittenOut = config.training_options != null || config.max_seq_length != null
  if (config.name && !isWrittenOut) {
    const reference = config.namespace ? `${config.namespace}/${config.name}` : config.name
    return await findByReference(db, 'config', reference)
  }
  const inline = validate(configCreate, config, 'body')
  const target = inline.target
  const reference = typeof target === 'string' ? target : (target?.name ?? target?.base_model)
  if (!reference) throw errors.TARGET_GONE({ name: inline.name || '(inline)' })
  const found = await findByReference(db, 'target', reference)
  return {
    ...inline,
    id: '',
    namespace: inline.namespace || 'default',
    name: inline.name || 'inline',
    created_at: '',
    updated_at: '',
    target: referenceOf(found),
  }
}

async function resolveTarget(ctx: CreateContext, config: Entity): Promise<Entity> {
  const reference = String(config.target)
  const slash = reference.indexOf('/')
  const key = { namespace: reference.slice(0, slash), name: reference.slice(slash + 1) }
  const target = await readEntity(ctx.db, 'target', key)
  if (!target) throw errors.TARGET_GONE({ name: referenceOf(config) })
  if (target.enabled === false) throw errors.TARGET_DISABLED({ name: referenceOf(target) })
  requireWeights(ctx.catalogue, String(target.base_model))
  return target
}

function pickOption(config: Entity, wanted: Hyperparameters): TrainingOption {
  const options = config.training_options as TrainingOption[]
  const describe = (o: { training_type: string; finetuning_type: string }) =>
    `${o.training_type} with ${o.finetuning_type}`
  const found = options.find((option) => describe(option) === describe(wanted))
  if (found) return found
  throw errors.OPTION_NOT_OFFERED({
    name: referenceOf(config),
    wanted: describe(wanted),
    offered: options.map(describe).join(', '),
  })
}

/** A model entity, or a version in the Data Store, with the job's output name must not be there yet. */
async function refuseTaken(ctx: CreateContext, output: OutputModel): Promise<void> {
  const { namespace, name, version, full } = output
  const { models, datasets } = ctx.entities
  const find = async () =>
    (await models.find(namespace, `${name}@${version}`)) ??
    (await datasets.find(namespace, `${name}@${version}`))
  const hasEntity = await reach('entity-store', find())
  if (hasEntity || (await reach('data-store', hasTag(ctx, output)))) {
    throw errors.OUTPUT_MODEL_EXISTS({ name: full, field: 'output_model' })
  }
}

async function hasTag(ctx: CreateContext, { namespace, name, version }: OutputModel): Promise<boolean> {
  const client = createDataStoreClient({ baseUrl: ctx.dataStoreUrl, fetch: ctx.fetch })
  try {
    const { tags } = await client.listRefs({ type: 'model', id: `${namespace}/${name}` })
    return tags.some((tag) => tag.name === version)
  } catch (err) {
    if (err instanceof UpstreamError && err.status === 404) return false
    throw err
  }
}

function pick(from: Record<string, unknown>, keys: string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => from[key] != null).map((key) => [key, from[key]]))
}
