// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** The evaluator's own errors; malformed input is a 422 list instead. */
export const evaluationErrors = defineErrors('evaluator', {
  TARGET_NOT_FOUND: {
    status: 404,
    message: 'evaluation target {name} not found',
    hint: 'GET /v1/evaluation/targets lists those that exist',
  },
  CONFIG_NOT_FOUND: {
    status: 404,
    message: 'evaluation config {name} not found',
    hint: 'GET /v1/evaluation/configs lists those that exist',
  },
  JOB_NOT_FOUND: {
    status: 404,
    message: 'evaluation job {id} not found',
    hint: 'GET /{version}/evaluation/jobs lists those that exist',
  },
  RESULT_NOT_FOUND: {
    status: 404,
    message: 'evaluation result {id} not found',
    hint: 'GET /v1/evaluation/results lists those that exist',
  },
  RESULT_NOT_READY: {
    status: 404,
    message: 'evaluation job {id} is {status} and has no result yet',
    hint: 'Wait until its status is completed; GET its status shows the progress',
  },
  JOB_RESULT_NOT_FOUND: {
    status: 404,
    message: 'evaluation job {id} has no result named {name}',
    hint: 'It has {known}',
  },
  MODEL_NOT_FOUND: {
    status: 404,
    message: 'model {name} not found',
    hint: 'Name a model entity or a model that is served (GET /v1/models of the NIM), or give its api_endpoint',
  },
  DATASET_NOT_FOUND: {
    status: 404,
    message: 'dataset {name} not found',
    hint: 'Upload its files to the Data Store, and register it with POST /v1/datasets when it is named by entity',
  },
  DATASET_UNREADABLE: {
    status: 400,
    message: 'dataset {name} cannot be read: {reason}',
    hint: 'Give json, jsonl or csv files at hf://datasets/<namespace>/<name>[/path]',
  },
  ENTITY_EXISTS: {
    status: 409,
    message: 'evaluation {kind} {name} already exists',
    hint: 'Change it with PATCH, or choose another name',
  },
  JOB_NOT_ACTIVE: {
    status: 409,
    message: 'evaluation job {id} is {status}, so it cannot be cancelled',
    hint: 'Only jobs that have not ended can be cancelled',
  },
  JOB_ACTIVE: {
    status: 409,
    message: 'evaluation job {id} is {status} and did not stop in time, so it was not deleted',
    hint: 'Cancel it first, wait until it is cancelled, then delete it',
  },
  UNSUPPORTED_EVALUATION: {
    status: 400,
    message: 'evaluation type "{type}" is not available on this platform: {reason}',
    hint: 'Available are {known}; docs/evaluator.md lists what is refused and why',
  },
  UNSUPPORTED_TASK: {
    status: 400,
    message: 'task "{task}" has type "{type}", which is not available: {reason}',
    hint: 'Available are {known}; docs/evaluator.md lists what is refused and why',
  },
  UNSUPPORTED_TARGET: {
    status: 400,
    message: 'a target of type "{target}" does not fit {what}',
    hint: 'Use a target of type {known}',
  },
  UNSUPPORTED_METRIC: {
    status: 400,
    message: 'metric "{metric}" of task "{task}" has type "{type}", which is not known',
    hint: 'Known are {known}',
  },
  CONFIG_INVALID: {
    status: 400,
    message: '{where}: {reason}',
    hint: 'Mend the evaluation config; docs/evaluator.md shows each type with an example',
  },
  TARGET_INVALID: {
    status: 400,
    message: '{where}: {reason}',
    hint: 'Mend the evaluation target; docs/evaluator.md shows each type with an example',
  },
  LIVE_UNSUPPORTED: {
    status: 400,
    message: 'live evaluation cannot do {what}',
    hint: 'It takes targets of type rows or dataset and tasks of type data; create a job for anything else',
  },
  LIVE_TOO_LARGE: {
    status: 400,
    message: 'live evaluation takes at most {limit} rows',
    hint: 'Create a job with POST /v1/evaluation/jobs instead',
  },
  DEPENDENCY_UNAVAILABLE: {
    status: 503,
    message: 'the {service} service did not answer: {reason}',
    hint: 'Try again in a moment; GET /health shows the state of the services',
  },
})
