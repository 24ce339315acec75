// SPDX-License-Identifier: Apache-2.0
import { parseEntityRef } from '@open-nemo/contract'
import type { EntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationModel } from '@open-nemo/contract/evaluation/schemas.ts'

/** Where a model answers. */
export interface Endpoint {
  url: string
  modelId: string
  apiKey: string | undefined
}

export interface ModelContext {
  /** With the platform's own token, so that api keys come in clear. */
  entities: EntityStoreClient
  fetch: typeof globalThis.fetch
  /** Base URL of the inference service, whose models need no endpoint. */
  inferenceUrl: string
}

/**
 * Finds where a model answers: the endpoint written out, that of the model entity which is named, or the platform's
 * own inference service, which serves tuned and base models by name.
 * Throws MODEL_NOT_FOUND, or DEPENDENCY_UNAVAILABLE when nobody can be asked.
 */
export async function resolveModel(ctx: ModelContext, model: EvaluationModel): Promise<Endpoint> {
  const name = typeof model === 'string' ? model : nameOf(model)
  const given = typeof model === 'string' ? undefined : endpointOf(model)
  if (given) return given
  if (!name) throw errors.MODEL_NOT_FOUND({ name: '(without name and api_endpoint)' })
  const entity = await findEntity(ctx, name)
  const stored = entity && endpointOf(entity)
  if (stored) return stored
  const served = await servedModels(ctx)
  const bare = name.replace(/^nim:\/\//, '').replace(/^default\//, '')
  const id = [name, bare].find((one) => served.includes(one))
  if (id === undefined && !entity) throw errors.MODEL_NOT_FOUND({ name })
  return { url: `${ctx.inferenceUrl}/v1`, modelId: id ?? name, apiKey: undefined }
}

function nameOf(model: Record<string, unknown>): string | undefined {
  if (typeof model.name !== 'string' || model.name === '') return undefined
  return typeof model.namespace === 'string' && model.namespace
    ? `${model.namespace}/${model.name}`
    : model.name
}

/** The endpoint in a model; older configs write `url` and `model_id` beside each other without `api_endpoint`. */
function endpointOf(model: Record<string, unknown>): Endpoint | undefined {
  const found = (model.api_endpoint ?? model) as Record<string, unknown>
  if (typeof found.url !== 'string' || found.url === '') return undefined
  const modelId = typeof found.model_id === 'string' ? found.model_id : ''
  const apiKey = typeof found.api_key === 'string' && found.api_key ? found.api_key : undefined
  return { url: found.url, modelId, apiKey }
}

async function findEntity(ctx: ModelContext, name: string): Promise<Record<string, unknown> | undefined> {
  const { namespace } = parseEntityRef(name)
  const rest = name.includes('/') ? name.slice(name.indexOf('/') + 1) : name
  try {
    return await ctx.entities.models.find(namespace, rest)
  } catch (cause) {
    throw unavailable('entity-store', cause)
  }
}

async function servedModels(ctx: ModelContext): Promise<string[]> {
  try {
    const response = await ctx.fetch(`${ctx.inferenceUrl}/v1/models`)
    const { data } = (await response.json()) as { data?: { id: string }[] }
    return (data ?? []).map((one) => one.id)
  } catch (cause) {
    throw unavailable('inference', cause)
  }
}

function unavailable(service: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message.slice(0, 300) : String(cause)
  return errors.DEPENDENCY_UNAVAILABLE({ service, reason }, { cause })
}
