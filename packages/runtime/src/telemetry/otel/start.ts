// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '../log.ts'
import { setTracing } from '../tracing.ts'
import { traceSettings } from './settings.ts'

/**
 * Turns traces on when the OTEL_* variables ask for them; the SDK is loaded only then. Returns how to end them, after
 * what is left was sent. Throws ConfigError.
 */
export async function startTracing(
  env: Record<string, string | undefined>,
  log: Logger,
): Promise<() => Promise<void>> {
  const settings = traceSettings(env)
  if (!settings) return async () => {}
  const { createTracing } = await import('./sdk.ts')
  const tracing = await createTracing(settings, log)
  setTracing(tracing)
  log.info({ exporters: settings.exporters, url: settings.url, protocol: settings.protocol }, 'traces are on')
  return async () => {
    setTracing(undefined)
    await tracing.stop()
  }
}
