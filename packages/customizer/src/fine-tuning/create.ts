// SPDX-License-Identifier: Apache-2.0
import { invalid, UpstreamError } from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { FineTuningCreate, FineTuningOrigin } from '@open-nemo/contract/customization/fine-tuning.ts'
import { DEFAULTS } from '@open-nemo/contract/customization/hyperparameters.ts'
import type { TrainingOption } from '@open-nemo/contract/customization/schemas.ts'
import { type FileObject, fileObject, filesUrlOf } from '@open-nemo/contract/data-store/files.ts'
import { referenceOf } from '../entities/references.ts'
import { type Entity, readEntities } from '../entities/store.ts'
import { type CreateContext, createJob } from '../jobs/create.ts'
import type { CustomizationJob } from '../jobs/types.ts'

const AUTO_EPOCHS = 3

/** Creates the customization job that a request of OpenAI's API describes. Throws the API error naming the field. */
export async function createFineTuning(
  ctx: CreateContext,
  body: FineTuningCreate,
  more: { wandbKey?: string } = {},
): Promise<CustomizationJob> {
  if (body.method && body.method.type !== 'supervised') {
    throw errors.FINE_TUNING_METHOD({ field: 'method.type', value: JSON.stringify(body.method.type) })
  }
  const config = await configFor(ctx, body.model)
  const training = await fileOf(ctx, 'training_file', body.training_file)
  const validation = body.validation_file
    ? await fileOf(ctx, 'validation_file', body.validation_file)
    : undefined
  const asked = { ...body.hyperparameters, ...body.method?.supervised?.hyperparameters }
  const origin: FineTuningOrigin = {
    model: body.model,
    training_file: training.id,
    validation_file: validation?.id ?? null,
    suffix: body.suffix ?? null,
    seed: body.seed ?? DEFAULTS.seed,
    metadata: body.metadata ?? null,
    hyperparameters: {
      n_epochs: asked.n_epochs ?? 'auto',
      batch_size: asked.batch_size ?? 'auto',
      learning_rate_multiplier: asked.learning_rate_multiplier ?? 'auto',
    },
  }
  const job = {
    config: referenceOf(config),
    dataset: { files_url: filesUrlOf(training) },
    hyperparameters: {
      finetuning_type: 'lora' as const,
      epochs: numberOr(asked.n_epochs, AUTO_EPOCHS),
      batch_size: numberOr(asked.batch_size, DEFAULTS.batch_size),
      learning_rate: Math.min(1, DEFAULTS.learning_rate * numberOr(asked.learning_rate_multiplier, 1)),
      seed: origin.seed,
    },
    output_model: outputName(body),
    integrations: body.integrations,
  }
  return createJob(ctx, job, {
    ...more,
    fineTuning: origin,
    ...(validation && { validationPath: pathOf(validation) }),
  })
}

const numberOr = (value: number | 'auto' | null | undefined, otherwise: number) =>
  typeof value === 'number' ? value : otherwise

const pathOf = ({ id, filename }: FileObject) => `${id}/${filename}`

/** `default/<model>-<suffix>`; its version is the job's id. */
function outputName({ model, suffix }: FineTuningCreate): string {
  const plain = (model.split('/').at(-1) ?? model).split('@')[0] ?? model
  return `default/${[plain, suffix ?? 'tuned'].join('-').slice(0, 96)}`
}

/** The config that tunes a model with LoRA: named itself, or the first one whose target has the model as its base. */
async function configFor(ctx: CreateContext, model: string): Promise<Entity> {
  const id = ctx.catalogue.resolve(model)?.id ?? model
  const targets = await readEntities(ctx.db, 'target')
  const fitting = new Set(
    targets
      .filter((target) => target.enabled !== false)
      .filter(
        (target) =>
          [model, id].includes(String(target.base_model)) || [model, id].includes(referenceOf(target)),
      )
      .map(referenceOf),
  )
  const configs = (await readEntities(ctx.db, 'config')).filter((one) =>
    (one.training_options as TrainingOption[]).some(
      (option) => option.training_type === 'sft' && option.finetuning_type === 'lora',
    ),
  )
  const config = configs.find((one) => referenceOf(one) === model || fitting.has(String(one.target)))
  if (config) return config
  const offered = new Set(configs.map((one) => String(one.target)))
  const bases = targets
    .filter((target) => offered.has(referenceOf(target)))
    .map((target) => target.base_model)
  const known = [...new Set(bases)].join(', ')
  throw errors.MODEL_NOT_TUNABLE({ name: model, known, field: 'model' })
}

async function fileOf(ctx: CreateContext, field: string, id: string): Promise<FileObject> {
  const url = `${ctx.dataStoreUrl}/v1/files/${encodeURIComponent(id)}`
  let response: Response
  try {
    response = await ctx.fetch(url)
  } catch (cause) {
    const reason = cause instanceof UpstreamError || cause instanceof Error ? cause.message : String(cause)
    throw errors.DEPENDENCY_UNAVAILABLE({ service: 'data-store', reason }, { cause })
  }
  if (response.status === 404) throw invalid(['body', field], `there is no file ${id}`)
  if (!response.ok)
    throw errors.DEPENDENCY_UNAVAILABLE({ service: 'data-store', reason: `it answered ${response.status}` })
  const file = fileObject.parse(await response.json())
  if (/\.jsonl?$/i.test(file.filename)) return file
  throw invalid(['body', field], `${file.filename} is no .jsonl file: upload chats as lines of JSON`)
}
