// SPDX-License-Identifier: Apache-2.0
import type { ServiceName } from '@open-nemo/contract'
import type { Registry } from 'prom-client'
import type { Catalogue } from './catalogue/types.ts'
import type { Database } from './database/types.ts'
import type { App } from './http/app.ts'
import type { Logger } from './telemetry/log.ts'

/** A service of the platform: the same definition runs embedded in one process and alone in a pod. */
export interface ServiceDefinition {
  name: ServiceName
  start(ctx: ServiceContext): Promise<RunningService>
}

/** A started service. `stop` refuses new work and drains within 10 s. */
export interface RunningService {
  app: App
  ready?(): Promise<boolean> | boolean
  stop(): Promise<void>
}

/** What the runtime hands to a service when it starts. */
export interface ServiceContext {
  name: ServiceName
  /** Raw environment; a service parses its own part once, with parseConfig. */
  env: Record<string, string | undefined>
  /** The service's own folder; it exists and no other service writes to it. */
  dataDir: string
  /** Models, the trainer's environment and downloads, shared and outside NEMO_HOME. */
  cacheDir: string
  db: Database
  /** Knows the platform's own host names without DNS; everything else goes out. */
  fetch: typeof globalThis.fetch
  /** Base URL of each service, to be used with `fetch` above. */
  urls: Record<ServiceName, string>
  /** Base URL of each service as clients reach it. */
  publicUrls: Record<ServiceName, string>
  catalogue: Catalogue
  log: Logger
  metrics: Registry
}
