// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { root } from '../../tools/test-tiers/command.ts'
import { freePorts } from '../conformance/platform.ts'

const START_MS = 90_000

/** A platform that is killed and started again on the same data and ports. */
export interface Victim {
  home: string
  urls: { platform: string; dataStore: string; nim: string }
  pid(): number
  start(): Promise<void>
  /** Kills the platform's process alone, as the kernel does. */
  kill(): Promise<void>
  /** Stops it as `nemoctl down` does. */
  stop(): Promise<void>
  /** The process that runs the model, or undefined while none does. */
  engine(): Promise<number | undefined>
  /** Leaders of the process groups of trainers that run. */
  trainers(): Promise<number[]>
  /** What it printed at the end, for reports. */
  said(): string
}

/** Prepares a platform below `dir`, with a trainer that speaks the protocol and takes some seconds for a job. */
export async function createVictim(dir: string, settings: Record<string, string> = {}): Promise<Victim> {
  const home = join(dir, 'home')
  await mkdir(dir, { recursive: true })
  const [port, dataStore, evaluator, nim] = await freePorts(4)
  const env = {
    ...process.env,
    NEMO_HOME: home,
    NEMO_CACHE: cacheDir(),
    NEMO_PORT: `${port}`,
    NEMO_DATA_STORE_PORT: `${dataStore}`,
    NEMO_EVALUATOR_PORT: `${evaluator}`,
    NEMO_NIM_PORT: `${nim}`,
    NEMO_ENGINE_THREADS: '1',
    // As nemoctl sets it.
    NODE_COMPILE_CACHE: join(cacheDir(), 'node'),
    NEMO_SERVE_WAIT_SECONDS: '1',
    NEMO_TRAINER_PYTHON: await quickTrainer(dir),
    ...settings,
  }
  const urls = {
    platform: `http://127.0.0.1:${port}`,
    dataStore: `http://127.0.0.1:${dataStore}`,
    nim: `http://127.0.0.1:${nim}`,
  }
  let child: ChildProcess | undefined
  let output = ''

  async function start(): Promise<void> {
    // Without the launcher between: its process id is that of the platform.
    const main = join(root, 'packages/cli/src/main.ts')
    const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'up'], {
      cwd: dir,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = started
    for (const stream of [started.stdout, started.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-4000)
      })
    const until = Date.now() + START_MS
    while (!(await isHealthy(urls.platform))) {
      if (started.exitCode !== null || started.signalCode !== null || Date.now() > until)
        throw new Error(`the platform did not start:\n${output}`)
      await sleep(50)
    }
  }
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
  return {
    home,
    urls,
    pid: () => child?.pid ?? 0,
    start,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    said: () => output,
    async engine() {
      for (const pid of await childrenOf(child?.pid ?? 0))
        if ((await commandOf(pid)).includes('inference')) return pid
      return undefined
    },
    trainers: () => trainersOf(home),
  }
}

/** An interpreter in name: whatever module it is told to run, it runs the fake trainer on the work folder. */
async function quickTrainer(dir: string): Promise<string> {
  const path = join(dir, 'trainer')
  const fake = join(root, 'packages/customizer/src/testing/fake-trainer.ts')
  const script = `#!/bin/sh
for work; do :; done
FAKE_STEP_MS=\${FAKE_STEP_MS:-250} exec ${process.execPath} --disable-warning=ExperimentalWarning ${fake} "$work"
`
  await writeFile(path, script)
  await chmod(path, 0o755)
  return path
}

async function isHealthy(url: string): Promise<boolean> {
  return await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) }).then(
    (response) => response.ok,
    () => false,
  )
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text.split(' ').filter(Boolean).map(Number)
}

const commandOf = (pid: number) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')

async function trainersOf(home: string): Promise<number[]> {
  const jobs = join(home, 'customizer', 'jobs')
  const found: number[] = []
  for (const id of await readdir(jobs).catch(() => [])) {
    const pid = Number.parseInt(await readFile(join(jobs, id, 'process'), 'utf8').catch(() => ''), 10)
    if (pid > 0 && (await commandOf(pid)).includes('trainer')) found.push(pid)
  }
  return found
}

/** Processes that were started for this home: all inherit its variable. */
export async function processesOf(home: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    const env = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    const cwd = `${home}/`
    const command = await commandOf(Number(pid))
    if (env.split('\0').includes(`NEMO_HOME=${home}`) || command.includes(cwd))
      found.push(`${pid} ${command.replaceAll('\0', ' ').slice(0, 120)}`)
  }
  return found
}
