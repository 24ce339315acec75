// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** The entity store's own errors; malformed input is a 422 list instead. */
export const entityStoreErrors = defineErrors('entity-store', {
  NAMESPACE_EXISTS: {
    status: 409,
    message: 'namespace {id} already exists',
    hint: 'Use it as it is, or choose another id',
  },
  NAMESPACE_NOT_FOUND: {
    status: 404,
    message: 'namespace {id} not found',
    hint: 'GET /v1/namespaces lists those that exist',
  },
  NAMESPACE_NOT_EMPTY: {
    status: 409,
    message: 'namespace {id} still holds {contents}',
    hint: 'Delete these first; nothing was deleted',
  },
  ENTITY_EXISTS: {
    status: 409,
    message: '{kind} {namespace}/{name} already exists',
    hint: 'Change it with PATCH, or choose another name',
  },
  ENTITY_NOT_FOUND: {
    status: 404,
    message: '{kind} {namespace}/{name} not found',
    hint: 'GET /v1/{kind}s?filter[namespace]={namespace} lists those that exist',
  },
})
