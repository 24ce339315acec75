// SPDX-License-Identifier: Apache-2.0
import { parseConfig } from '@open-nemo/runtime'
import { z } from 'zod'
import { type QuotaLimits, quotaLimits } from './quota.ts'
import { type S3Settings, s3Settings } from './s3-settings.ts'

const HOUR_MS = 3600_000

const schema = z.object({
  /** Hours between collections of garbage; 0 for none. */
  NEMO_DATA_STORE_GC_INTERVAL: z.coerce.number().min(0).max(500).default(24),
  /** Hours for which nothing is collected that was touched. */
  NEMO_DATA_STORE_GC_AGE: z.coerce.number().min(0).max(100_000).default(24),
})

/** How the data store keeps what it is given. */
export interface StoreSettings {
  s3: S3Settings | undefined
  quotas: QuotaLimits
  collectEveryMs: number
  collectAgeMs: number
}

/** The settings of the environment. Throws ConfigError naming what is wrong. */
export function storeSettings(env: Record<string, string | undefined>): StoreSettings {
  const c = parseConfig(schema, env)
  return {
    s3: s3Settings(env),
    quotas: quotaLimits(env),
    collectEveryMs: c.NEMO_DATA_STORE_GC_INTERVAL * HOUR_MS,
    collectAgeMs: c.NEMO_DATA_STORE_GC_AGE * HOUR_MS,
  }
}
