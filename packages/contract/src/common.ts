// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/** What entity store and v1 resources answer to a DELETE. */
export const deleteResponse = z.object({
  id: z.string(),
  deleted_at: z.string().nullable(),
  message: z.string(),
})
export type DeleteResponse = z.infer<typeof deleteResponse>

/** Who owns an entity; kept and given back as sent. */
export const ownership = z.looseObject({
  created_by: z.string().max(255).optional(),
  access_policies: z.record(z.string(), z.unknown()).optional(),
})

export const customFields = z.record(z.string(), z.unknown())

export const errorResponse = z.object({ detail: z.string(), code: z.string().optional() })
export const validationErrorResponse = z.object({
  detail: z.array(
    z.object({ loc: z.array(z.union([z.string(), z.int()])), msg: z.string(), type: z.string() }),
  ),
})

/** A name of a service of the platform. */
export const SERVICE_NAMES = [
  'entity-store',
  'data-store',
  'customizer',
  'inference',
  'evaluator',
  'guardrails',
] as const
export type ServiceName = (typeof SERVICE_NAMES)[number]
