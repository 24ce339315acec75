// SPDX-License-Identifier: Apache-2.0
import type { Hyperparameters } from '@open-nemo/contract/customization/hyperparameters.ts'
import type { JobWarning, TrainingOption } from '@open-nemo/contract/customization/schemas.ts'
import type { ServiceContext } from '@open-nemo/runtime'
import type { Entity } from '../entities/store.ts'

/** What a job does otherwise than its request may have meant. */
export function warningsOf(args: {
  catalogue: ServiceContext['catalogue']
  target: Entity
  option: TrainingOption
  hyperparameters: Hyperparameters
  hasValidation: boolean
  hasTemplate: boolean
}): JobWarning[] {
  const { catalogue, target, option } = args
  const warnings: JobWarning[] = []
  const warn = (message: string, explanation: string) => warnings.push({ message, explanation })
  const baseModel = String(target.base_model)
  if (catalogue.isAlias(baseModel)) {
    const real = catalogue.resolve(baseModel)
    const variable = real?.task === 'embedding' ? 'NEMO_EMBEDDING_ALIASES' : 'NEMO_LLAMA_ALIASES'
    warn(
      `${baseModel} stands for ${real?.id ?? 'another model'} here`,
      `${variable} is on: training and answers use the weights of that model`,
    )
  }
  const hardware = hardwareFields(option)
  if (hardware.length > 0) {
    warn(`${hardware.join(', ')} ignored`, 'training runs on the processors of one machine')
  }
  if (!args.hasValidation) {
    warn(
      'the dataset has no validation/ folder',
      'the last weights are kept, since none can be told to be the best',
    )
  }
  if (args.hasTemplate && option.finetuning_type === 'lora') {
    warn(
      'chat_prompt_template is used for training only',
      "answers are made with the model's own chat template",
    )
  }
  const full = fullDropouts(args.hyperparameters)
  if (full.length > 0) warn(`${full.join(', ')} is 1`, 'everything is dropped, so nothing can be learned')
  return warnings
}

function fullDropouts({ lora, sft }: Hyperparameters): string[] {
  const dropouts = {
    adapter_dropout: lora?.adapter_dropout,
    attention_dropout: sft?.attention_dropout,
    hidden_dropout: sft?.hidden_dropout,
  }
  return Object.entries(dropouts).flatMap(([name, value]) => (value === 1 ? [name] : []))
}

function hardwareFields(option: TrainingOption): string[] {
  const fields = [
    'num_gpus',
    'num_nodes',
    'tensor_parallel_size',
    'pipeline_parallel_size',
    'data_parallel_size',
    'expert_model_parallel_size',
  ] as const
  const parallel = fields.filter((field) => (option[field] ?? 1) > 1)
  return option.use_sequence_parallel ? [...parallel, 'use_sequence_parallel'] : parallel
}
