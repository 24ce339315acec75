// SPDX-License-Identifier: Apache-2.0
import { ApiError, UpstreamError, ValidationError } from '@open-nemo/contract'
import type { Model } from '@open-nemo/contract/entity-store/schemas.ts'
import { WeightsFormatError } from '../gguf/whole.ts'
import { AdapterFormatError } from '../lora/convert.ts'
import { SafetensorsError } from '../lora/safetensors.ts'

/** A failure that may pass (the data store restarts, files are still coming) is tried again after this long. */
export const RETRY_MS = 2000

/** The name that a model of the entity store is served under. */
export function nameOf(model: Model): string {
  return `${model.namespace}/${model.name}`
}

/** Whether trying again without a change of the entity is useless. */
export function isFinal(err: unknown): boolean {
  if (err instanceof UpstreamError) return false
  return (
    err instanceof AdapterFormatError ||
    err instanceof WeightsFormatError ||
    err instanceof SafetensorsError ||
    err instanceof ValidationError ||
    err instanceof ApiError
  )
}

/** Entity times have no zone; they are UTC. */
export function seconds(stamp: string): number {
  const ms = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(stamp) ? stamp : `${stamp}Z`)
  return Number.isNaN(ms) ? 0 : Math.floor(ms / 1000)
}
