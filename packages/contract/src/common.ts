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

const validationItems = z.array(
  z.looseObject({ loc: z.array(z.union([z.string(), z.int()])), msg: z.string(), type: z.string() }),
)

/** What the Hub's clients (a text) and OpenAI's (an object) read beside `detail`. */
const clientError = z.union([z.string(), z.looseObject({ message: z.string() })])

export const errorResponse = z.looseObject({
  detail: z.union([z.string(), validationItems]),
  code: z.string().optional(),
  error: clientError.optional(),
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
