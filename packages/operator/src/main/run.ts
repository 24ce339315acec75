// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from 'node:v8'
import { createLogger } from '@open-nemo/runtime/telemetry/log.ts'
import { CONTROLLERS, type OperatorName } from '../controllers.ts'
import { KubeClient } from '../framework/client.ts'
import { loadConnection } from '../framework/connection.ts'
import { serveHealth } from '../framework/health.ts'
import { electLeader } from '../framework/leader.ts'
import { startOperator } from '../framework/operator.ts'
import { operatorConfig } from './config.ts'
import { watchDefaults } from './defaults.ts'

/** The chart's; the Lease goes with it. */
const DEFAULTS_CONFIG_MAP = 'nemo-samples-operator-defaults'

export interface RunningProcess {
  port: number
  /** Resolves when leadership was lost: the process has to end and start again. */
  lost: Promise<void>
  stop(): Promise<void>
}

/**
 * Runs one of the operators until `stop`: caches first, then the election, then work. Throws ConfigError with what
 * to change when the settings or the cluster's address are wrong.
 */
export async function runOperator(
  name: OperatorName,
  env: Record<string, string | undefined>,
): Promise<RunningProcess> {
  // Garbage is taken away when a tenth has been added to what lives, where V8 would wait until it is doubled, and in
  // steps of 2 MB where it would take 8.
  setFlagsFromString('--heap-growing-percent=10')
  setFlagsFromString('--optimize-for-size')
  const connection = await loadConnection(env)
  const config = operatorConfig(env, connection.namespace)
  const log = createLogger({ level: config.logLevel, name: `operator-${name}` })
  const client = new KubeClient(connection)
  const controllers = await Promise.all(CONTROLLERS[name].map((load) => load()))
  const defaults = await watchDefaults(config.defaultsPath, log, () => operator.resync())
  const operator = await startOperator({
    name,
    client,
    controllers,
    namespaces: config.namespaces,
    defaults: defaults.current,
    log,
    workers: config.workers,
  })
  const health = await serveHealth({
    host: '0.0.0.0',
    port: config.port,
    registry: operator.metrics.registry,
    ready: () => {
      const missing = operator.missing()
      return missing.length > 0 ? `still reading ${missing.join(', ')}` : undefined
    },
  })
  log.info({ namespaces: config.namespaces, port: health.port }, 'operator started')
  const election = config.leaderElection
    ? electLeader({
        ownerConfigMap: DEFAULTS_CONFIG_MAP,
        client,
        namespace: config.namespace,
        name: `open-nemo-${name}`,
        identity: config.identity,
        log,
      })
    : undefined
  let stopped = false
  void (async () => {
    while (!stopped && operator.missing().length > 0) await new Promise((r) => setTimeout(r, 50))
    await election?.acquired
    if (!stopped) operator.lead()
  })()
  return {
    port: health.port,
    lost: election?.lost ?? new Promise(() => undefined),
    async stop() {
      stopped = true
      defaults.stop()
      await operator.stop()
      await election?.release()
      await health.close()
      client.close()
    },
  }
}
