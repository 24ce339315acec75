// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** The customizer's own errors; malformed input is a 422 list instead. */
export const customizationErrors = defineErrors('customizer', {
  TARGET_NOT_FOUND: {
    status: 404,
    message: 'customization target {name} not found',
    hint: 'There are {known}; GET /v1/customization/targets lists all',
  },
  CONFIG_NOT_FOUND: {
    status: 404,
    message: 'customization config {name} not found',
    hint: 'There are {known}; GET /v1/customization/configs lists all',
  },
  JOB_NOT_FOUND: {
    status: 404,
    message: 'customization job {id} not found',
    hint: 'GET /v1/customization/jobs lists those that exist',
  },
  FINE_TUNING_JOB_NOT_FOUND: {
    status: 404,
    message: 'fine-tuning job {id} not found',
    hint: 'GET /v1/fine_tuning/jobs lists those that exist',
  },
  FINE_TUNING_METHOD: {
    status: 400,
    message: 'method.type {value} is not available by this API',
    hint: 'Use "supervised", or POST /v1/customization/jobs, which has training_type "dpo" too',
  },
  DATASET_NOT_FOUND: {
    status: 404,
    message: 'dataset {name} not found',
    hint: 'Upload its files to the Data Store and register it with POST /v1/datasets',
  },
  ENTITY_EXISTS: {
    status: 409,
    message: 'customization {kind} {name} already exists',
    hint: 'Change it with PATCH, or choose another name',
  },
  OUTPUT_MODEL_EXISTS: {
    status: 409,
    message: 'model or dataset with name {name} already exists',
    hint: 'Choose another output_model, or another version after its @',
  },
  JOB_NOT_ACTIVE: {
    status: 409,
    message: 'customization job {id} is {status}, so it cannot be cancelled',
    hint: 'Only jobs that are created, pending or running can be cancelled',
  },
  FINE_TUNING_JOB_ENDED: {
    status: 409,
    message: 'fine-tuning job {id} is {status}, so it cannot be cancelled',
    hint: 'Only jobs that have not ended can be; GET /v1/fine_tuning/jobs/{id} shows what it made',
  },
  JOB_ACTIVE: {
    status: 409,
    message: 'customization job {id} is {status}, so it cannot be deleted',
    hint: 'Cancel it first with POST /v1/customization/jobs/{id}/cancel',
  },
  TARGET_IN_USE: {
    status: 409,
    message: 'customization target {name} is used by job {id}',
    hint: 'Wait for the job to end, or cancel it; nothing was deleted',
  },
  TARGET_DISABLED: {
    status: 409,
    message: 'customization target {name} is not enabled',
    hint: 'Enable it with PATCH {"enabled": true}, or take a config of another target',
  },
  TARGET_GONE: {
    status: 409,
    message: 'config {name} has no target any more',
    hint: 'Take another config, or create one with a target that exists',
  },
  CONFIG_AMBIGUOUS: {
    status: 409,
    message: 'config {name} could be any of {choices}',
    hint: 'Name one of them with its namespace and version',
  },
  MODEL_NOT_TUNABLE: {
    status: 400,
    message: 'the model {name} cannot be tuned here',
    hint: 'Models that can be are {known}; GET /v1/customization/configs lists how',
  },
  EMBEDDING_TRAINING: {
    status: 400,
    message: '{name} is an embedding model, and {wanted} does not tune one',
    hint: 'Use training_type "sft" with finetuning_type "all_weights" or "lora_merged", and rows of query, pos_doc and neg_doc',
  },
  NO_NEGATIVES: {
    status: 400,
    message:
      'without in_batch_negatives and with num_hard_negatives 0 a query has no document to be told apart from',
    hint: 'Leave dataset_parameters.in_batch_negatives out, or ask for at least one hard negative',
  },
  UNSUPPORTED_TRAINING: {
    status: 400,
    message: '{field} "{value}" is not available on this platform',
    hint: 'What works is training_type "sft" or "dpo" with finetuning_type "lora", "lora_merged" or "all_weights"',
  },
  OPTION_NOT_OFFERED: {
    status: 400,
    message: 'config {name} does not offer {wanted}',
    hint: 'It offers {offered}',
  },
  BASE_MODEL_UNKNOWN: {
    status: 400,
    message: 'no weights are known for base_model {name}',
    hint: 'Models that can be tuned here: {known}; `nemoctl models add` adds more',
  },
  DATASET_EMPTY: {
    status: 400,
    message: 'dataset {name} has no training data: no .jsonl file in its folder {folder}',
    hint: 'Upload files to training/ (and validation/) of its repository',
  },
  DATASET_UNREADABLE: {
    status: 400,
    message: 'dataset {name} cannot be read from {where}: {reason}',
    hint: 'Mend its files_url or hf_endpoint',
  },
  DEPENDENCY_UNAVAILABLE: {
    status: 503,
    message: 'the {service} service did not answer: {reason}',
    hint: 'Try again in a moment; GET /health shows the state of the services',
  },
  JOB_TOKEN_WRONG: {
    status: 401,
    message: 'this is not the token of job {id}',
    hint: 'Only the pod of a training job calls here; customizer and training operator must share one NEMO_INTERNAL_TOKEN',
  },
  JOB_NOT_WANTED: {
    status: 410,
    message: 'job {id} is not to be trained any more: it is {status}',
    hint: 'End the pod',
  },
  WORK_FILE_MISSING: {
    status: 404,
    message: 'the job has no file {path} for its pod',
    hint: 'It may come later, when the customizer has prepared the job again',
  },
  WORK_PATH_BAD: {
    status: 400,
    message: '{path} is no path below the work folder',
    hint: 'Send plain relative paths without . and ..',
  },
  STREAM_NOT_LINES: {
    status: 400,
    message: 'what is appended to {name} must end with a line',
    hint: 'Send whole lines, each with its newline',
  },
  UPLOAD_TOO_LARGE: {
    status: 413,
    message: 'the pod may not send more than {limit} bytes',
    hint: 'Log less, or tune fewer layers with a smaller adapter_dim',
  },
})
