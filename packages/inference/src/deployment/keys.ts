// SPDX-License-Identifier: Apache-2.0
import { invalid, stated } from '@open-nemo/contract'
import type { ExternalEndpoint } from '@open-nemo/contract/deployment/schemas.ts'
import { MASK } from '@open-nemo/contract/secrets.ts'

/** A config as answered: the key of its endpoint is never shown. */
export function shown<T extends Record<string, unknown>>(config: T): T {
  const endpoint = config.external_endpoint as { api_key?: string } | undefined
  if (!endpoint?.api_key) return config
  return { ...config, external_endpoint: { ...endpoint, api_key: MASK } }
}

/** What PATCH makes of a config, which stands at `at` in the body. */
export function patched<T extends Record<string, unknown>>(
  old: T,
  body: Record<string, unknown>,
  at?: string[],
): T {
  return withKey({ ...old, ...stated(body) }, old, at)
}

/**
 * A key that comes back masked, as it was shown, is the stored one, and only for the same server: else whoever may
 * change the URL could have the key sent to a server of their own.
 */
export function withKey<T extends Record<string, unknown>>(
  config: T,
  old?: Record<string, unknown>,
  at: string[] = [],
): T {
  const endpoint = config.external_endpoint as ExternalEndpoint | null | undefined
  if (endpoint?.api_key !== MASK) return config
  const known = old?.external_endpoint as ExternalEndpoint | null | undefined
  if (!known?.api_key || known.host_url !== endpoint.host_url) {
    throw invalid(
      ['body', ...at, 'external_endpoint', 'api_key'],
      'is the mask of a stored key: give the key itself, also when host_url changes',
    )
  }
  return { ...config, external_endpoint: { ...endpoint, api_key: known.api_key } }
}
