// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '../../packages/runtime/src/testing/hostile.ts'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { post } from './calls.ts'
import { createLedger } from './ledger.ts'
import { BASE, prepare, startLoad, type Work, waitForJobs } from './load.ts'
import { createVictim, processesOf, type Victim } from './platform.ts'

type Target = 'platform' | 'engine' | 'trainer'

/** How a run of kills went. */
export interface KillReport {
  seed: number
  kills: Record<Target, number>
  /** Pieces of work that were acknowledged, by kind. */
  acknowledged: Record<string, number>
  /** Entries read back after kills, and at the end. */
  verified: number
  restart_seconds: { median: number; worst: number }
  engine_back_seconds: { median: number; worst: number }
  jobs: Record<string, number>
  /** What was lost, half-written or left behind: none. */
  problems: string[]
  seconds: number
}

/**
 * Kills the platform, its engine or a trainer at random moments under a mixed load, `count` times, and looks each time
 * whether what was acknowledged is there. Ends with every job ended, every repository checked, and the platform stopped.
 */
export async function killMatrix(options: {
  dir: string
  count: number
  seed: number
  tell?: (line: string) => void
}): Promise<KillReport> {
  const { dir, count, seed, tell = () => undefined } = options
  const begun = Date.now()
  const random = createRandom(seed)
  const ledger = createLedger()
  const victim = await createVictim(dir)
  await mkdir(dir, { recursive: true })
  let serials = 0
  const work: Work = { victim, ledger, random: createRandom(seed + 1), dir, serial: () => ++serials }
  const kills: Record<Target, number> = { platform: 0, engine: 0, trainer: 0 }
  const problems: string[] = []
  const restarts: number[] = []
  const back = watchEngine(victim, problems)
  let verified = 0
  await victim.start()
  try {
    await prepare(work)
    const load = startLoad(work)
    for (let n = 1; n <= count; n++) {
      await sleep(random.integer(50, 1500))
      const target = await killOne(victim, random.pick(TARGETS))
      kills[target]++
      if (target === 'platform') {
        problems.push(...(await orphans(victim)))
        restarts.push(await timed(() => victim.start()))
        back.forget()
      } else if (target === 'engine') {
        back.watch()
      }
      if (target === 'platform' || n === count) {
        const { looked, problems: found } = await ledger.recent((list) => random.pick(list))
        verified += looked
        problems.push(...found.map((problem) => `after kill ${n} (${target}): ${problem}`))
      }
      if (n % 10 === 0) tell(`${n} kills, ${ledger.size} entries, ${problems.length} problems`)
    }
    await back.wait()
    await load.stop()
    const open = await waitForJobs(victim, 240_000)
    problems.push(...open.map((job) => `${job} at the end`))
    problems.push(...(await ledger.all()))
    verified += ledger.size
    const jobs = await jobCounts(victim)
    await victim.stop()
    problems.push(...(await leftovers(victim)))
    return {
      seed,
      kills,
      acknowledged: load.done,
      verified,
      restart_seconds: spread(restarts),
      engine_back_seconds: spread(back.seconds),
      jobs,
      problems: [...problems, ...silent(load.done, load.refusals)],
      seconds: Math.round((Date.now() - begun) / 1000),
    }
  } finally {
    await victim.kill()
    for (const pid of await victim.trainers()) process.kill(-pid, 'SIGKILL')
  }
}

/** The platform less often, since each of its starts takes the time of ten other kills. */
const TARGETS: readonly Target[] = ['platform', 'engine', 'engine', 'trainer', 'trainer']
const ENGINE_BACK_MS = 90_000

/** Kills the target, or one that runs at the moment in its place. */
async function killOne(victim: Victim, wanted: Target): Promise<Target> {
  for (let i = 0; wanted !== 'platform' && i < 50; i++) {
    // Neither may run for a moment: after some tries the other one will do.
    const [trainer] = wanted === 'trainer' || i > 25 ? await victim.trainers() : []
    if (trainer !== undefined && send(-trainer)) return 'trainer'
    const engine = wanted === 'engine' || i > 25 ? await victim.engine() : undefined
    if (engine !== undefined && send(engine)) return 'engine'
    await sleep(100)
  }
  await victim.kill()
  return 'platform'
}

function send(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

/** What a killed platform leaves: trainers may go on, the engine may not. */
async function orphans(victim: Victim): Promise<string[]> {
  let left: string[] = []
  for (let i = 0; i < 50; i++) {
    left = (await processesOf(victim.home)).filter((line) => !line.includes('trainer'))
    if (left.length === 0) return []
    await sleep(100)
  }
  return left.map((line) => `outlives the platform by 5 s: ${line}`)
}

/** Looks how long a killed engine takes to answer chats again, while other things are killed. */
function watchEngine(victim: Victim, problems: string[]) {
  const body = { model: BASE, messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 2 }
  const seconds: number[] = []
  let watching: Promise<void> | undefined
  let current = 0

  async function answersAgain(mine: number): Promise<void> {
    const begun = performance.now()
    while (performance.now() - begun < ENGINE_BACK_MS) {
      const isBack = await post(`${victim.urls.nim}/v1/chat/completions`, body).then(
        () => true,
        () => false,
      )
      // The platform was killed meanwhile: another engine is on its way.
      if (mine !== current) return
      if (isBack) return void seconds.push((performance.now() - begun) / 1000)
      await sleep(200)
    }
    problems.push(`the engine did not come back within ${ENGINE_BACK_MS / 1000} s of its kill`)
  }
  return {
    seconds,
    watch() {
      watching = answersAgain(++current)
    },
    forget() {
      current++
      watching = undefined
    },
    wait: async () => await watching,
  }
}

async function jobCounts(victim: Victim): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const kind of ['customization', 'evaluation']) {
    const response = await fetch(`${victim.urls.platform}/v1/${kind}/jobs?page_size=1000`)
    const { data } = (await response.json()) as { data: { status: string }[] }
    for (const { status } of data) counts[`${kind} ${status}`] = (counts[`${kind} ${status}`] ?? 0) + 1
  }
  return counts
}

/** Processes, locks, half-written files and damaged repositories after the last stop. */
async function leftovers({ home }: Victim): Promise<string[]> {
  const found = (await processesOf(home)).map((line) => `is left: ${line}`)
  if (existsSync(join(home, 'lock'))) found.push(`the lock of ${home} is left`)
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (/postgres/.test(path.slice(home.length, home.length + 12))) continue
    if (/\.(lock|tmp|part|partial)$|^tmp_|^incoming/.test(entry.name)) found.push(`is left: ${path}`)
    if (entry.isDirectory() && entry.name.endsWith('.git')) found.push(...(await fsck(path)))
  }
  return found
}

async function fsck(repository: string): Promise<string[]> {
  const { code, output } = await runCommand('git', [
    '-C',
    repository,
    'fsck',
    '--no-dangling',
    '--no-progress',
  ])
  return code === 0 ? [] : [`${repository}: ${output.slice(0, 300)}`]
}

/** Kinds of work that never succeeded: then nothing was tested of them. */
function silent(done: Record<string, number>, refusals: Record<string, string>): string[] {
  return Object.keys(refusals)
    .filter((kind) => !done[kind])
    .map((kind) => `no ${kind} were ever acknowledged: ${refusals[kind]}`)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return (performance.now() - begun) / 1000
}

function spread(values: number[]): { median: number; worst: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const round = (value: number | undefined) => Math.round((value ?? 0) * 10) / 10
  return { median: round(sorted[Math.floor(sorted.length / 2)]), worst: round(sorted.at(-1)) }
}
