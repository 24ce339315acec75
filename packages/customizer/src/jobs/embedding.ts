// SPDX-License-Identifier: Apache-2.0
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { JobCreate } from '@open-nemo/contract/customization/schemas.ts'
import type { ServiceContext } from '@open-nemo/runtime'
import { modelOf } from '../entities/targets.ts'
import type { JobPayload } from './types.ts'

/**
 * What only jobs that tune an embedding model have in their payload; nothing for the others. Throws for what does not
 * tune one: adapters of its own, preferences, rows without negatives.
 */
export function embeddingFields(
  catalogue: ServiceContext['catalogue'],
  name: string,
  { hyperparameters, dataset_parameters }: Pick<JobCreate, 'hyperparameters' | 'dataset_parameters'>,
): Pick<JobPayload, 'task' | 'dataset_parameters'> {
  if (modelOf(catalogue, name)?.task !== 'embedding') return {}
  const { training_type: training, finetuning_type: finetuning } = hyperparameters
  if ((training ?? 'sft') !== 'sft' || finetuning === 'lora') {
    const wanted = `${training ?? 'sft'} with ${finetuning}`
    throw errors.EMBEDDING_TRAINING({ name, wanted, field: 'finetuning_type' })
  }
  const { in_batch_negatives, num_hard_negatives, negative_sample_strategy } = dataset_parameters ?? {}
  if (in_batch_negatives === false && num_hard_negatives === 0) {
    throw errors.NO_NEGATIVES({ field: 'dataset_parameters' })
  }
  return {
    task: 'embedding',
    dataset_parameters: { in_batch_negatives, num_hard_negatives, negative_sample_strategy },
  }
}
