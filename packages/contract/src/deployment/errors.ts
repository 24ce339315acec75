// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** Errors of the deployments of models. */
export const deploymentErrors = defineErrors('deployment', {
  CONFIG_NOT_FOUND: {
    status: 404,
    message: 'the deployment config {name} does not exist',
    hint: 'GET /v1/deployment/configs lists those there are',
  },
  DEPLOYMENT_NOT_FOUND: {
    status: 404,
    message: 'the model deployment {name} does not exist',
    hint: 'GET /v1/deployment/model-deployments lists those there are',
  },
  CONFIG_EXISTS: {
    status: 409,
    message: 'a deployment config {name} exists already',
    hint: 'Use it, change it with PATCH, or choose another name',
  },
  DEPLOYMENT_EXISTS: {
    status: 500,
    message: 'a model deployment already exists: {name}',
    hint: 'Use it, or delete it first (model deployment already exists; clients look for these words and this status)',
  },
  CONFIG_IN_USE: {
    status: 409,
    message: 'the deployment config {name} is used by {deployments}',
    hint: 'Delete these model deployments first',
  },
})
