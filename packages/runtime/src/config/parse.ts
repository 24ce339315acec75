// SPDX-License-Identifier: Apache-2.0
import type { z } from 'zod'

/** A setting is missing or malformed; the message names each variable and what it may be. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/**
 * Parses a service's environment by schema; unknown variables are left alone, empty ones count as not set.
 * Throws ConfigError naming every variable at fault.
 */
export function parseConfig<T extends z.ZodType>(
  schema: T,
  env: Record<string, string | undefined>,
): z.infer<T> {
  const given = Object.fromEntries(Object.entries(env).filter(([, v]) => v !== undefined && v !== ''))
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const lines = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new ConfigError(`bad configuration:\n  ${lines.join('\n  ')}`)
}

/** A copy fit for printing: values of keys that look secret are masked, and passwords inside URLs too. */
export function redactConfig(config: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      if (/(key|token|password|secret)$/i.test(key)) return [key, value === undefined ? undefined : '******']
      if (typeof value === 'string') return [key, value.replace(/(:\/\/[^:/@\s]*:)[^@\s]+@/, '$1******@')]
      return [key, value]
    }),
  )
}
