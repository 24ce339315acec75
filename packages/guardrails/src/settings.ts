// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const url = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })

/** The service's settings; those that NVIDIA's service has too have its names. */
export const guardrailsSettings = z.object({
  /** Folder of configurations, one a subfolder; the one in the package holds the built-in ones. */
  CONFIG_STORE_PATH: z.string().optional(),
  /** Configuration of requests that name none. */
  DEFAULT_CONFIG_ID: z.string().default('default'),
  /** The NIM, with `/v1`; the platform's own inference unless set. */
  NIM_ENDPOINT_URL: url.optional(),
  NIM_ENDPOINT_API_KEY: z.string().optional(),
  /** Seconds that a rail has to decide, where the configuration does not say. */
  NEMO_GUARDRAILS_RAIL_TIMEOUT: z.coerce.number().gt(0).max(3600).default(30),
  /** Milliseconds that the patterns of a configuration may take on one text. */
  NEMO_GUARDRAILS_REGEX_LIMIT: z.coerce.number().int().min(1).max(60_000).default(200),
  /** Megabytes of a request's body. */
  NEMO_GUARDRAILS_BODY_LIMIT: z.coerce.number().int().min(1).max(1024).default(16),
  /** Model of /v1/embeddings that finds canonical forms of dialogs; while it is down they are found by their words. */
  NEMO_GUARDRAILS_EMBEDDING_MODEL: z.string().default('sentence-transformers/all-MiniLM-L6-v2'),
  NEMO_GUARDRAILS_SERVER_ENABLE_CORS: z
    .enum(['true', 'false', 'True', 'False', '1', '0'])
    .default('false')
    .transform((v) => /^(true|1)$/i.test(v)),
  /** Origins that may call from a browser, with commas between them. */
  NEMO_GUARDRAILS_SERVER_ALLOWED_ORIGINS: z.string().default('*'),
})
export type GuardrailsSettings = z.infer<typeof guardrailsSettings>
