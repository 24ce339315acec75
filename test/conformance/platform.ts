// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { root } from '../../tools/test-tiers/command.ts'

export interface TestPlatform {
  home: string
  /** Variables that tell a driver where the platform answers. */
  env: Record<string, string>
  /** The last lines of what the platform printed and logged. */
  tail(): Promise<string>
  /** Stops it and removes its data. */
  stop(): Promise<void>
}

const startTimeout = 120_000

/**
 * Starts the platform as README says, on free ports, with an empty NEMO_HOME and these variables, and waits for
 * GET /health.
 * `at` is the folder that it runs in and that gets its NEMO_HOME.
 * Throws with its output when it ends or does not answer within two minutes.
 */
export async function startTestPlatform(
  settings: Record<string, string> = {},
  at?: string,
): Promise<TestPlatform> {
  const home = await mkdtemp(join(at ?? tmpdir(), 'nemo-conformance-'))
  const [port, dataStore, evaluator, nim] = await freePorts(4)
  const child = spawn(process.execPath, [join(root, 'packages/cli/bin/nemoctl.mjs'), 'up'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(at ? { cwd: at } : {}),
    env: {
      ...process.env,
      ...settings,
      NEMO_HOME: home,
      NEMO_CACHE: cacheDir(),
      NEMO_PORT: `${port}`,
      NEMO_DATA_STORE_PORT: `${dataStore}`,
      NEMO_EVALUATOR_PORT: `${evaluator}`,
      NEMO_NIM_PORT: `${nim}`,
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-20_000)
    })
  }
  const tail = async () => {
    const log = await readFile(join(home, 'logs/platform.log'), 'utf8').catch(() => '')
    return `${output}\n${log.split('\n').slice(-40).join('\n')}`
  }
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
      await ended
      clearTimeout(late)
    }
    await rm(home, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${port}`
  const deadline = Date.now() + startTimeout
  while (!(await answers(`${url}/health`))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const said = await tail()
      await stop()
      throw new Error(`the platform does not answer at ${url}/health:\n${said}`)
    }
    await sleep(200)
  }
  const env = {
    NEMO_URL: url,
    DATA_STORE_URL: `http://127.0.0.1:${dataStore}`,
    NIM_URL: `http://127.0.0.1:${nim}`,
  }
  return { home, env, tail, stop }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok
  } catch {
    return false
  }
}

/** Ports that nothing listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Runs `work` on each item, in their order but by platform: one is started for each set of variables. */
export async function onPlatforms<T extends { settings?: Record<string, string> }>(
  items: T[],
  work: (item: T, env: Record<string, string>) => Promise<{ failed: boolean }>,
): Promise<void> {
  for (const group of Map.groupBy(items, (item) => JSON.stringify(item.settings ?? {})).values()) {
    const platform = await startTestPlatform(group[0]?.settings)
    let failed = false
    try {
      for (const item of group) failed = (await work(item, platform.env)).failed || failed
    } finally {
      if (failed) console.log(`the platform's last lines:\n${await platform.tail()}`)
      await platform.stop()
    }
  }
}
