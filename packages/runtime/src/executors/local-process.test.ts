// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { tailEvents } from './events.ts'
import { createLocalProcessExecutor, type Execution } from './index.ts'

const executor = createLocalProcessExecutor({ graceMs: 300, pollMs: 20 })
const NO_LIMIT = { memoryBytes: 0 }
let workdir: string

beforeEach(async () => {
  workdir = await mkdtemp(join(tmpdir(), 'nemo-exec-'))
})
afterEach(async () => {
  await executor.clear({ id: 'x', workdir })
  await rm(workdir, { recursive: true, force: true })
})

const env = () => ({ PATH: process.env.PATH ?? '' })
const start = (script: string, limits = NO_LIMIT): Promise<Execution> =>
  executor.start({ id: 'x', workdir, command: ['/bin/sh', '-c', script], env: env(), limits })
const node = (code: string, limits = NO_LIMIT): Promise<Execution> =>
  executor.start({ id: 'x', workdir, command: [process.execPath, '-e', code], env: env(), limits })
const pidOf = async () => Number.parseInt(await readFile(join(workdir, 'process'), 'utf8'), 10)
async function eventsOf(execution: Execution, offset = 0) {
  const out: unknown[] = []
  for await (const batch of execution.events(offset)) out.push(...batch.map((e) => e.value.n))
  return out
}

test('events, output and the exit code of a program come through', async () => {
  const execution = await start(
    `echo '{"n":1}' > events.jsonl; echo said; echo '{"n":2}' >> events.jsonl; exit 3`,
  )
  assert.deepEqual(await eventsOf(execution), [1, 2])
  assert.deepEqual(await execution.outcome(), { kind: 'exited', code: 3 })
  assert.equal(await executor.log({ id: 'x', workdir }, 100), 'said\n')
  assert.equal(await executor.log({ id: 'x', workdir }, 3), 'id\n')
})

test('it runs at low priority with passive threads', async () => {
  const execution = await start('nice > priority; echo $OMP_WAIT_POLICY >> priority')
  await execution.outcome()
  const [nice, policy] = (await readFile(join(workdir, 'priority'), 'utf8')).split('\n')
  assert.ok(Number(nice) >= 10)
  assert.equal(policy, 'passive')
})

test('stop lets a program end by itself, and its exit code is kept', async () => {
  const execution = await node(`process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000)`)
  await sleep(150)
  await execution.stop(3000)
  assert.deepEqual(await execution.outcome(), { kind: 'exited', code: 7 })
})

test('stop forces a program that ignores SIGTERM, with everything below it', async () => {
  const execution = await start(`trap '' TERM; sleep 60 & echo $! > child; wait; sleep 60`)
  await sleep(150)
  const child = Number(await readFile(join(workdir, 'child'), 'utf8'))
  const before = Date.now()
  await execution.stop(200)
  assert.ok(Date.now() - before < 2000)
  assert.deepEqual(await execution.outcome(), { kind: 'lost' })
  await sleep(50)
  assert.ok(await isGone(child))
})

async function isGone(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat === '' || / Z /.test(stat)
}

test('a program over its memory limit is ended, and the reason survives', async () => {
  const limits = { memoryBytes: 150e6 }
  const execution = await node(`const a = []; setInterval(() => a.push(Buffer.alloc(2e7, 1)), 20)`, limits)
  const outcome = await execution.outcome()
  assert.equal(outcome.kind, 'memory')
  const again = await executor.attach({ id: 'x', workdir, limits })
  assert.deepEqual(await again?.outcome(), outcome)
})

test('a program whose starter was killed is found again and watched to its end', async () => {
  const spec = {
    id: 'x',
    workdir,
    command: ['/bin/sh', '-c', `sleep 0.5; echo '{"n":1}' > events.jsonl; exit 5`],
    env: env(),
    limits: NO_LIMIT,
  }
  const code = `import { createLocalProcessExecutor } from ${JSON.stringify(import.meta.resolve('./local-process.ts'))}
    await createLocalProcessExecutor().start(${JSON.stringify(spec)}); process.kill(process.pid, 'SIGKILL')`
  const starter = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' })
  await new Promise((resolve) => starter.once('exit', resolve))
  const execution = await executor.attach({ id: 'x', workdir, limits: NO_LIMIT })
  assert.ok(execution)
  assert.deepEqual(await eventsOf(execution), [1])
  assert.deepEqual(await execution.outcome(), { kind: 'exited', code: 5 })
})

test('a process killed from outside is lost, and clear allows another start', async () => {
  const execution = await start('sleep 60')
  process.kill(-(await pidOf()), 'SIGKILL')
  assert.deepEqual(await execution.outcome(), { kind: 'lost' })
  await executor.clear({ id: 'x', workdir })
  assert.equal(await executor.attach({ id: 'x', workdir, limits: NO_LIMIT }), undefined)
  assert.deepEqual(await (await start('exit 0')).outcome(), { kind: 'exited', code: 0 })
})

test('two executions in one folder are refused', async () => {
  await start('sleep 60')
  await assert.rejects(start('sleep 60'), /runs already/)
})

test('half a line waits for its other half; a broken line is passed over', async () => {
  const path = join(workdir, 'events.jsonl')
  await appendFile(path, '{"n":1}\n{"n":')
  let isOver = false
  const tail = tailEvents({ path, offset: 0, isOver: () => isOver, pollMs: 5 })
  const first = (await tail.next()).value ?? []
  assert.deepEqual(first, [{ value: { n: 1 }, offset: 8 }])
  await appendFile(path, '2}\nbroken\n[]\n{"n":3}\n')
  isOver = true
  const rest: unknown[] = []
  for await (const batch of tail) rest.push(...batch.map((e) => e.value.n))
  assert.deepEqual(rest, [2, 3])
  const resumed = tailEvents({ path, offset: 8, isOver: () => true, pollMs: 5 })
  assert.equal((await resumed.next()).value?.[0]?.value.n, 2)
})
