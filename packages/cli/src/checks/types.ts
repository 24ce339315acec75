// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const text = z.string().min(1)
const amounts = z.record(z.string(), z.union([z.string(), z.number()]))

/** What an installation asks of its cluster; the charts write it, `nemoctl preflight` makes it from its options. */
export const wantedSchema = z.object({
  release: text.default('nemo-instances'),
  /** Services of the infrastructure that the installation talks to, with how to get each. */
  services: z.array(text).default([]),
  secrets: z.array(z.object({ name: text, keys: z.array(text).default([]), why: z.string() })).default([]),
  /** Storage class of the volumes; empty takes the cluster's default. */
  storageClass: z.string().default(''),
  claims: z.number().int().default(0),
  /** Pods of one container each, for quotas and limit ranges. */
  pods: z
    .array(
      z.object({
        name: text,
        replicas: z.coerce.number().int().default(1),
        resources: z.object({ requests: amounts.optional(), limits: amounts.optional() }).default({}),
      }),
    )
    .default([]),
  /** GPUs that one pod asks for; 0 for none. */
  gpus: z.coerce.number().int().min(0).default(0),
  nodeSelector: z.record(z.string(), z.string()).default({}),
  tolerations: z.array(z.record(z.string(), z.unknown())).default([]),
  /** Images that nodes must have or be able to pull. */
  images: z.array(text).default([]),
  /** Whether the CustomResourceDefinitions must be there already. */
  crdsInstalled: z.boolean().default(false),
})

export type Wanted = z.output<typeof wantedSchema>

/** What a check found: `error` stops an installation, `skipped` could not be looked at. */
export interface Finding {
  level: 'error' | 'warning' | 'ok' | 'skipped'
  check: string
  /** What is so, and for an error or a warning what to change. */
  message: string
}
