// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** The guardrails service's own errors; malformed input is a 422 list instead. */
export const guardrailsErrors = defineErrors('guardrails', {
  CONFIG_EXISTS: {
    status: 409,
    message: 'guardrails config {namespace}/{name} already exists',
    hint: 'Change it with PATCH, or choose another name',
  },
  CONFIG_NOT_FOUND: {
    status: 404,
    message: 'guardrails config {id} not found',
    hint: 'GET /v1/guardrail/configs lists those that exist',
  },
  CONFIG_READ_ONLY: {
    status: 409,
    message: 'guardrails config {id} comes from the config store folder',
    hint: 'Change its files in CONFIG_STORE_PATH, or create one of another name',
  },
  CONFIG_REFUSED: {
    status: 422,
    message: 'the configuration is not usable: {problems}',
    hint: 'docs/guardrails.md lists what is supported',
  },
  FILES_UNREACHABLE: {
    status: 422,
    message: 'the files at {url} cannot be read: {reason}',
    hint: 'Check the repository and its path in the Data Store',
  },
  NO_MODEL: {
    status: 422,
    message: 'no model to answer with',
    hint: 'Give `model` in the request, or a model of type main in the configuration',
  },
  MODEL_UNREACHABLE: {
    status: 502,
    message: 'the model {model} did not answer: {reason}',
    hint: 'Check its base_url and that its server runs; without a base_url NIM_ENDPOINT_URL is used',
  },
  MODEL_REFUSED: {
    status: 400,
    message: 'the model {model} refused the request: {reason}',
    hint: 'Change the request as the model says',
  },
  MODEL_UNAUTHORIZED: {
    status: 401,
    message: 'the model {model} wants another key: {reason}',
    hint: 'Send X-Model-Authorization, or set api_key_env_var of the model',
  },
  MODEL_NOT_FOUND: {
    status: 404,
    message: 'the model {model} does not exist there: {reason}',
    hint: 'GET /v1/guardrail/models lists what the NIM serves',
  },
  MODEL_BUSY: {
    status: 503,
    message: 'the model {model} is not available now: {reason}',
    hint: 'Try again in a moment',
  },
})
