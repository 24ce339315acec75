// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { arch, cpus, homedir, loadavg, platform, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import { findPip, runCommand } from '@open-nemo/runtime/python/index.ts'

export interface Row {
  name: string
  value: number
  unit: string
  /** The value to reach: at least for rates, at most for times. */
  target?: number
  peer?: string
  peer_value?: number
  /** value / peer_value. */
  ratio?: number
}

/** A benchmark: it prints what it does and gives the rows of its results file. */
export interface Bench {
  run(): Promise<Row[]>
}

export const ROOT = fileURLToPath(new URL('../', import.meta.url))
export const CACHE =
  process.env.NEMO_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
const NEMOCTL = join(ROOT, 'packages', 'cli', 'bin', 'nemoctl.mjs')

/** Facts about the machine that figures depend on; nothing that identifies it. */
export function machine(): Record<string, string | number> {
  const processors = cpus()
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memory_gb: Math.round(totalmem() / 1e9),
    os: `${platform()} ${arch()} ${release().split('-')[0]}`,
    node: process.version,
    // Read before the benchmark starts: above the number of cores, others worked here too and rates are too low.
    load_before: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  }
}

/** The commit measured, with `+changes` when the sources differ from it. */
export function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/results')
  return git('rev-parse', 'HEAD') + (changed ? '+changes' : '')
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** An empty folder that is removed when `work` has ended. */
export async function withFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-bench-'))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

export interface Running {
  urls: { platform: string; dataStore: string; evaluator: string; nim: string }
  home: string
  env: Record<string, string | undefined>
  /** Id of the process that serves, not of its launcher. */
  pid(): Promise<number>
  stop(): Promise<void>
}

/** Starts a platform on free ports with the command of the README, without waiting until it answers. */
export async function launch(home: string): Promise<Running> {
  const [a = 0, b = 0, c = 0, d = 0] = await freePorts(4)
  const env = {
    ...process.env,
    NEMO_HOME: home,
    NEMO_CACHE: CACHE,
    NEMO_PORT: `${a}`,
    NEMO_DATA_STORE_PORT: `${b}`,
    NEMO_EVALUATOR_PORT: `${c}`,
    NEMO_NIM_PORT: `${d}`,
    LOG_LEVEL: 'warn',
  }
  const child = spawn(process.execPath, [NEMOCTL, 'up'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const url = (port: number) => `http://127.0.0.1:${port}`
  return {
    urls: { platform: url(a), dataStore: url(b), evaluator: url(c), nim: url(d) },
    home,
    env,
    pid: async () => JSON.parse(await readFile(join(home, 'lock'), 'utf8')).pid,
    stop: () => stop(child),
  }
}

/** Runs `work` against a platform of its own that answers. */
export async function withPlatform<T>(work: (running: Running) => Promise<T>): Promise<T> {
  return withFolder(async (dir) => {
    const running = await launch(join(dir, 'home'))
    try {
      await until200(`${running.urls.platform}/v1/health/ready`, 120_000)
      return await work(running)
    } finally {
      await running.stop()
    }
  })
}

/** Waits for the first 200. Throws when there is none within `limitMs`. */
export async function until200(url: string, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs
  let last = 'no answer'
  while (performance.now() < end) {
    try {
      const response = await fetch(url)
      await response.arrayBuffer()
      if (response.status === 200) return
      last = `${response.status}`
    } catch {
      last = 'no answer'
    }
    await sleep(10)
  }
  throw new Error(`${url} gave ${last} for ${limitMs / 1000} s`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await Promise.race([ended, sleep(15_000)])
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
}

/** Ports of the loopback that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** The interpreter of a virtual environment with exactly these packages, kept in the cache. */
export async function pythonWith(name: string, packages: string[]): Promise<string> {
  const dir = await ensureCached(CACHE, `bench/${name}`, {
    needBytes: 300e6,
    build: async (tmp) => {
      const python = await findPip(CACHE, process.env)
      await runCommand(python, ['-m', 'venv', tmp], { env: process.env })
      const pip = ['-m', 'pip', 'install', '--quiet', ...packages]
      await runCommand(join(tmp, 'bin', 'python'), pip, { env: process.env })
    },
  })
  return join(dir, 'bin', 'python')
}

/** Rows as a dataset of a platform, by a commit with one file: the way of the hub's clients. Gives its files_url. */
export async function uploadRows(url: string, rows: unknown[]): Promise<string> {
  const name = `bench-${randomUUID()}`
  const lines = rows.map((row) => JSON.stringify(row)).join('\n')
  const hub = `${url}/v1/hf/api`
  await fetch(`${hub}/repos/create`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'dataset', organization: 'bench', name }),
  })
  const commit = [
    { key: 'header', value: { summary: 'rows' } },
    {
      key: 'file',
      value: { path: 'rows.jsonl', encoding: 'base64', content: Buffer.from(lines).toString('base64') },
    },
  ]
  const body = commit.map((line) => JSON.stringify(line)).join('\n')
  const response = await fetch(`${hub}/datasets/bench/${name}/commit/main`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  if (!response.ok) throw new Error(await response.text())
  return `hf://datasets/bench/${name}`
}
