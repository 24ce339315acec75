// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises'
import { SERVICE_NAMES, type ServiceName } from '@open-nemo/contract'
import {
  ConfigError,
  createLogger,
  createMetrics,
  createPlatformFetch,
  DATABASE_WAIT_MS,
  forwardTo,
  parseConfig,
  type ServiceContext,
  serve,
  startTracing,
  takeLock,
  waitForDatabase,
} from '@open-nemo/runtime'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { z } from 'zod'
import { homePaths, platformConfig } from './config.ts'
import { contractEnv } from './contract-env.ts'
import { DEFAULT_PORTS, SERVICE_URLS, SERVICES } from './services.ts'
import { openDatabase } from './start.ts'

type Env = Record<string, string | undefined>

/** The variable that gives the URL of a service to the others, such as `NEMO_ENTITY_STORE_URL`. */
export const urlVariable = (name: ServiceName) => `NEMO_${name.replaceAll('-', '_').toUpperCase()}_URL`

const schema = z.object({
  /** Port of the service; each has its own default. */
  PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  /** URL by which clients reach the service, where it differs from its in-cluster one. */
  NEMO_PUBLIC_URL: z.url().optional(),
  /** Shared by all services of one installation. */
  NEMO_INTERNAL_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
  ...Object.fromEntries(
    SERVICE_NAMES.map((name) => [urlVariable(name), z.url().default(SERVICE_URLS[name])]),
  ),
})

/**
 * Starts one service alone, as a pod runs it: from environment variables, with a database server's DSN
 * (NEMO_DATABASE_URL) or its own data directory (NEMO_HOME). The other services are reached by URL. The variables
 * that operators set in pods are understood too.
 */
export async function serveOne(
  name: ServiceName,
  given: Env,
): Promise<{ url: string; stop(): Promise<void> }> {
  const load = SERVICES[name]
  if (!load)
    throw new ConfigError(`no service ${name} in this version; there are ${Object.keys(SERVICES).join(', ')}`)
  const opened = await openContext(name, given)
  const { ctx, config, undo, stop } = opened
  try {
    const running = await (await load()).start(ctx)
    undo.push(() => running.stop())
    const listener = await serve({
      fetch: (request, bindings) => running.app.fetch(request, bindings),
      host: config.host,
      port: opened.port ?? DEFAULT_PORTS[name],
      setting: 'PORT',
    })
    // No new requests come in while those in flight and the service's own work drain.
    undo.pop()
    undo.push(async () => {
      await Promise.allSettled([listener.close(), running.stop()])
    })
    ctx.log.info({ url: listener.url }, 'service started')
    return { url: listener.url, stop }
  } catch (err) {
    await stop()
    throw err
  }
}

/** What a service alone in a pod is started with: lock, log, database, and the URLs of the others. */
export async function openContext(name: ServiceName, given: Env) {
  const env = contractEnv(name, given)
  const config = platformConfig(env)
  const own = parseConfig(schema, env) as z.infer<typeof schema> & Record<string, string>
  const urls = Object.fromEntries(
    SERVICE_NAMES.map((other) => [other, own[urlVariable(other)] ?? SERVICE_URLS[other]]),
  ) as Record<ServiceName, string>
  const publicUrls = own.NEMO_PUBLIC_URL ? { ...urls, [name]: own.NEMO_PUBLIC_URL } : urls
  const paths = homePaths(config.home)
  const log = createLogger({ level: config.logLevel, name })
  const metrics = createMetrics({ process: true })
  const lock = await takeLock(paths.lock, { service: name })
  const undo: (() => Promise<void>)[] = [() => lock.release()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    undo.push(await startTracing(env, log))
    const dataDir = paths.service(name)
    await mkdir(dataDir, { recursive: true })
    const db = await openDatabase(config, log)
    undo.push(() => db.close())
    if (db.kind === 'server') await waitForDatabase(db, { log, timeoutMs: DATABASE_WAIT_MS })
    const ctx: ServiceContext = {
      name,
      env,
      dataDir,
      cacheDir: config.cache,
      db,
      fetch: createPlatformFetch(forwardTo(urls)),
      urls,
      publicUrls,
      catalogue: await loadCatalogue({ env, home: config.home, cacheDir: config.cache }),
      log,
      metrics,
    }
    return { ctx, config, port: own.PORT, undo, stop }
  } catch (err) {
    await stop()
    throw err
  }
}
