// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

export const TRAINING_TYPES = ['sft', 'dpo', 'distillation', 'grpo'] as const
export const FINETUNING_TYPES = ['lora', 'lora_merged', 'all_weights'] as const
export const OPTIMIZERS = [
  'adamw_with_cosine_annealing',
  'adam_with_cosine_annealing',
  'adamw_with_flat_lr',
  'adam_with_flat_lr',
] as const

/** Steps of warm-up that the API documents; a job that does not ask for them gets a tenth of its steps at most. */
export const DEFAULT_WARMUP_STEPS = 200
const MAX_SEED = 2 ** 32 - 1

const count = z.int().min(1).max(1_000_000)
const fraction = z.number().min(0).lt(1)
/** Up to 1, as in NVIDIA's documentation, though then there is nothing to learn from. */
const dropout = z.number().min(0).max(1)

/** LoRA's own settings; keys that are not named here are kept and given back. */
export const loraParameters = z.looseObject({
  adapter_dim: z.int().min(1).max(1024).nullish(),
  alpha: z.int().min(1).max(65_536).nullish(),
  adapter_dropout: dropout.nullish(),
  target_modules: z.array(z.string().min(1).max(255)).max(1000).nullish(),
})

const weight = z.number().min(0).max(1e6)

/** DPO's own settings; `ref_policy_kl_penalty` is the paper's beta. */
export const dpoParameters = z.looseObject({
  ref_policy_kl_penalty: weight.nullish(),
  preference_loss_weight: weight.nullish(),
  preference_average_log_probs: z.boolean().nullish(),
  sft_loss_weight: weight.nullish(),
  sft_average_log_probs: z.boolean().nullish(),
  max_grad_norm: z.number().gt(0).max(1e6).nullish(),
})

const sftParameters = z.looseObject({
  attention_dropout: dropout.nullish(),
  hidden_dropout: dropout.nullish(),
})

/** What a job is asked to train with. `batch_size` counts the rows of one step over all devices. */
export const hyperparameters = z
  .looseObject({
    finetuning_type: z.enum(FINETUNING_TYPES),
    training_type: z.enum(TRAINING_TYPES).nullish(),
    epochs: z.int().min(1).max(10_000).nullish(),
    batch_size: z.int().min(1).max(65_536).nullish(),
    learning_rate: z.number().gt(0).max(1).nullish(),
    min_learning_rate: z.number().min(0).max(1).nullish(),
    max_steps: z.union([z.literal(-1), z.literal(0), count]).nullish(),
    warmup_steps: z.int().min(0).max(1_000_000).nullish(),
    weight_decay: z.number().min(0).max(1).nullish(),
    optimizer: z.enum(OPTIMIZERS).nullish(),
    adam_beta1: fraction.nullish(),
    adam_beta2: fraction.nullish(),
    log_every_n_steps: z.union([z.literal(0), count]).nullish(),
    val_check_interval: z
      .number()
      .gt(0)
      .max(1_000_000)
      .refine((v) => v <= 1 || Number.isInteger(v), {
        error: 'must be at most 1 (a part of an epoch), or a whole number of steps',
      })
      .nullish(),
    seed: z.int().min(0).max(MAX_SEED).nullish(),
    sequence_packing_enabled: z.boolean().nullish(),
    lora: loraParameters.nullish(),
    sft: sftParameters.nullish(),
    dpo: dpoParameters.nullish(),
    grpo: z.looseObject({}).nullish(),
    distillation: z.looseObject({}).nullish(),
  })
  .check((ctx) => {
    const { min_learning_rate } = ctx.value
    const learning_rate = ctx.value.learning_rate ?? defaultsOf(ctx.value.training_type).learning_rate
    if (min_learning_rate == null || min_learning_rate < learning_rate) return
    ctx.issues.push({
      code: 'custom',
      input: min_learning_rate,
      path: ['min_learning_rate'],
      message: `must be lower than learning_rate (${learning_rate})`,
    })
  })
export type HyperparametersInput = z.infer<typeof hyperparameters>

/** What a job trains with when it does not say. */
export const DEFAULTS = {
  training_type: 'sft',
  epochs: 1,
  batch_size: 8,
  learning_rate: 1e-4,
  max_steps: -1,
  optimizer: 'adamw_with_cosine_annealing',
  adam_beta1: 0.9,
  adam_beta2: 0.99,
  warmup_steps: DEFAULT_WARMUP_STEPS,
  weight_decay: 0.01,
  log_every_n_steps: 10,
  seed: 42,
  sequence_packing_enabled: false,
} as const
const LORA_DEFAULTS = { adapter_dim: 8, alpha: 16, adapter_dropout: 0 } as const
const DPO_DEFAULTS = {
  ref_policy_kl_penalty: 0.05,
  preference_loss_weight: 1,
  preference_average_log_probs: false,
  sft_loss_weight: 0,
  sft_average_log_probs: false,
  max_grad_norm: 1,
} as const

/** What differs with the kind of training, as the API documents it. The rows of a step are each other's negatives. */
function defaultsOf(training: string | null | undefined, task?: 'embedding') {
  if (training === 'dpo') return { ...DEFAULTS, batch_size: 16, learning_rate: 9e-6 }
  return task === 'embedding' ? { ...DEFAULTS, batch_size: 32 } : DEFAULTS
}

export type Hyperparameters = HyperparametersInput & {
  training_type: (typeof TRAINING_TYPES)[number]
  epochs: number
  batch_size: number
  learning_rate: number
  min_learning_rate: number
  max_steps: number
  log_every_n_steps: number
  seed: number
}

/** The hyperparameters as a job answers them: as asked, with every default filled in. */
export function withDefaults(given: HyperparametersInput, task?: 'embedding'): Hyperparameters {
  const full = { ...defaultsOf(given.training_type, task), ...stated(given) } as Hyperparameters
  full.log_every_n_steps ||= DEFAULTS.log_every_n_steps
  full.min_learning_rate ||= Number((0.1 * full.learning_rate).toPrecision(12))
  if (full.finetuning_type !== 'all_weights') {
    full.lora = { ...LORA_DEFAULTS, ...stated(given.lora ?? {}) }
  }
  if (full.training_type === 'dpo') full.dpo = { ...DPO_DEFAULTS, ...stated(given.dpo ?? {}) }
  return full
}

function stated(given: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value != null))
}
