// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises'
import { SERVICE_NAMES, type ServiceName } from '@open-nemo/contract'
import {
  createGateway,
  createLogger,
  createMetrics,
  createPlatformFetch,
  type Database,
  type Gateway,
  type Listener,
  type Logger,
  openEmbedded,
  openServer,
  type PortRole,
  type RunningService,
  type ServiceContext,
  serve,
  startTracing,
  takeLock,
  watchDisk,
} from '@open-nemo/runtime'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { homePaths, type PlatformConfig } from './config.ts'
import { createPlatformApp, type ServiceState } from './platform-app.ts'
import { loadSecrets } from './secrets.ts'
import { SERVICE_URLS, SERVICES } from './services.ts'

export interface Platform {
  urls: { platform: string; dataStore: string; evaluator: string; nim: string }
  stop(): Promise<void>
}

type Env = Record<string, string | undefined>

/**
 * Starts all services in this process: takes the lock on NEMO_HOME, listens, opens the database, starts services.
 * Throws LockHeldError, ListenError or ConfigError with what to change; nothing is left behind then.
 */
export async function startPlatform(config: PlatformConfig, env: Env): Promise<Platform> {
  const paths = homePaths(config.home)
  const lock = await takeLock(paths.lock)
  const undo: (() => Promise<void>)[] = [() => lock.release()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const log = createLogger({ level: config.logLevel, file: paths.log })
    undo.push(await startTracing(env, log))
    const metrics = createMetrics({ process: true })
    const states = new Map<ServiceName, ServiceState>()
    for (const name of SERVICE_NAMES) {
      if (SERVICES[name]) states.set(name, { slot: 'starting', ready: async () => false })
    }
    const disk = await watchDisk(config.home)
    undo.push(async () => disk.stop())
    const gateway = createGateway({
      refusal: disk.refusal,
      slot: (name) => states.get(name)?.slot ?? 'absent',
      platform: createPlatformApp({ log, metrics, states }),
    })
    const listeners = await listen(config, gateway)
    undo.push(() => listeners.close())
    const publicUrls = publicServiceUrls(listeners)
    await lock.update({ urls: listeners.urls })

    const db = await openDatabase(config, log)
    undo.push(() => db.close())
    const secrets = await loadSecrets(paths.secrets)
    const serviceEnv = { ...env, NEMO_INTERNAL_TOKEN: secrets.internalToken }
    const catalogue = await loadCatalogue({ env: serviceEnv, home: config.home, cacheDir: config.cache })
    const shared = {
      env: serviceEnv,
      cacheDir: config.cache,
      db,
      fetch: createPlatformFetch((role, request) => gateway.handle(role, request)),
      urls: SERVICE_URLS,
      publicUrls,
      catalogue,
      metrics,
    }
    await startServices(shared, { states, undo, config, log, closeListeners: () => listeners.close() })
    log.info({ urls: listeners.urls }, 'platform started')
    return { urls: listeners.urls, stop }
  } catch (err) {
    await stop()
    throw err
  }
}

type Shared = Omit<ServiceContext, 'name' | 'dataDir' | 'log'>

/** Starts the services side by side; all are stopped again when one fails. */
async function startServices(
  shared: Shared,
  on: {
    states: Map<ServiceName, ServiceState>
    undo: (() => Promise<void>)[]
    config: PlatformConfig
    log: Logger
    closeListeners: () => Promise<void>
  },
): Promise<void> {
  const running: RunningService[] = []
  on.undo.push(async () => {
    // No new requests come in while those in flight and the services' own work drain.
    const stops = running.map((service) => service.stop())
    const results = await Promise.allSettled([on.closeListeners(), ...stops])
    for (const r of results)
      if (r.status === 'rejected') on.log.error({ err: r.reason }, 'service failed to stop')
  })
  const started = await Promise.allSettled(
    [...on.states.keys()].map(async (name) => {
      const dataDir = homePaths(on.config.home).service(name)
      await mkdir(dataDir, { recursive: true })
      const definition = await SERVICES[name]?.()
      if (!definition) return
      const service = await definition.start({
        ...shared,
        name,
        dataDir,
        log: on.log.child({ service: name }),
      })
      running.push(service)
      on.states.set(name, { slot: service.app, ready: async () => (await service.ready?.()) ?? true })
    }),
  )
  for (const result of started) if (result.status === 'rejected') throw result.reason
}

/** Opens the embedded database under the home, or a pool on the server. */
export async function openDatabase(config: PlatformConfig, log: Logger): Promise<Database> {
  if (config.databaseUrl) return openServer(config.databaseUrl, { log, ca: config.databaseCa })
  return openEmbedded(homePaths(config.home).postgres, { log })
}

interface Listeners {
  urls: Platform['urls']
  close(): Promise<void>
}

/** Opens the four ports; when one is taken, those already open are closed again. */
async function listen(config: PlatformConfig, gateway: Gateway): Promise<Listeners> {
  const open: Listener[] = []
  const close = async () => {
    await Promise.all(open.splice(0).map((l) => l.close()))
  }
  const one = async (role: PortRole, port: number, setting: string) => {
    const listener = await serve({
      fetch: (request, env) => gateway.handle(role, request, env),
      host: config.host,
      port,
      setting,
    })
    open.push(listener)
    return listener.url
  }
  try {
    const urls = {
      platform: await one('platform', config.ports.platform, 'NEMO_PORT'),
      dataStore: await one('data-store', config.ports.dataStore, 'NEMO_DATA_STORE_PORT'),
      evaluator: await one('platform', config.ports.evaluator, 'NEMO_EVALUATOR_PORT'),
      nim: await one('inference', config.ports.nim, 'NEMO_NIM_PORT'),
    }
    return { urls, close }
  } catch (err) {
    await close()
    throw err
  }
}

function publicServiceUrls({ urls }: Listeners): Record<ServiceName, string> {
  return {
    'entity-store': urls.platform,
    'data-store': urls.dataStore,
    customizer: urls.platform,
    inference: urls.nim,
    evaluator: urls.evaluator,
    guardrails: urls.evaluator,
  }
}
