// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { acknowledged, post, read, readObject } from './calls.ts'
import { BASE, prepare } from './load.ts'
import { createVictim, type Victim } from './platform.ts'
import { REPO, SPACE } from './store-load.ts'

const skip = process.env.NEMO_SLOW === '1' ? false : 'NEMO_SLOW=1 runs the slow tests'
const JOBS = '/v1/customization/jobs'
let dir = ''

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-faults-'))
})
after(() => rm(dir, { recursive: true, force: true }))

async function started(name: string, settings: Record<string, string> = {}): Promise<Victim> {
  const victim = await createVictim(join(dir, name), settings)
  await victim.start()
  return victim
}

interface Job {
  id: string
  status: string
  status_details?: { status_logs?: { message: string; detail?: string }[] }
}

const createJob = (victim: Victim, name: string) =>
  post<Job>(`${victim.urls.platform}${JOBS}`, {
    config: `${BASE}@v1.0.0+cpu`,
    dataset: { namespace: SPACE, name: REPO },
    output_model: `${SPACE}/${name}@v1`,
    hyperparameters: { training_type: 'sft', finetuning_type: 'lora', epochs: 1, batch_size: 8 },
  })

async function ended(victim: Victim, id: string): Promise<Job> {
  for (let i = 0; i < 400; i++) {
    const job = (await readObject(`${victim.urls.platform}${JOBS}/${id}`)) as unknown as Job
    if (['completed', 'failed', 'cancelled'].includes(job.status)) return job
    await sleep(200)
  }
  throw new Error(`job ${id} did not end`)
}

const words = (job: Job) => JSON.stringify(job.status_details)

async function commit(victim: Victim, path: string, data: Buffer): Promise<Response> {
  const value = { path, content: data.toString('base64'), encoding: 'base64' }
  const lines = [
    { key: 'header', value: { summary: path } },
    { key: 'file', value },
  ]
  return await fetch(`${victim.urls.dataStore}/v1/hf/api/datasets/${SPACE}/${REPO}/commit/main`, {
    method: 'POST',
    body: lines.map((line) => JSON.stringify(line)).join('\n'),
  })
}
const fileUrl = (victim: Victim, path: string) =>
  `${victim.urls.dataStore}/v1/hf/datasets/${SPACE}/${REPO}/resolve/main/${path}`

test('a trainer over its memory limit is ended, and its job says what to change', { skip }, async () => {
  const greedy = join(dir, 'greedy')
  const eat = 'const a = []; setInterval(() => a.push(Buffer.alloc(2e7, 1)), 20)'
  await writeFile(greedy, `#!/bin/sh\nexec ${process.execPath} -e '${eat}'\n`)
  await chmod(greedy, 0o755)
  const victim = await started('memory', { NEMO_TRAINER_PYTHON: greedy, NEMO_TRAINER_MEMORY_MB: '300' })
  try {
    await prepare({ victim })
    const job = await ended(victim, (await createJob(victim, 'greedy')).id)
    assert.equal(job.status, 'failed')
    assert.match(words(job), /GiB of memory.*NEMO_TRAINER_MEMORY_MB/)
    assert.deepEqual(await victim.trainers(), [])
    await acknowledged(`${victim.urls.platform}/health`)
  } finally {
    await victim.stop()
  }
})

test('jobs, leases and tuned models survive a clock that jumps a day on and back', { skip }, async () => {
  const clock = join(dir, 'clock.mjs')
  const offset = join(dir, 'offset')
  await writeFile(offset, '0')
  // Every clock of the process but the monotonic one, as after a bad NTP answer.
  await writeFile(
    clock,
    `import { readFileSync } from 'node:fs'
const RealDate = Date
let shift = 0
setInterval(() => { try { shift = Number(readFileSync(${JSON.stringify(offset)}, 'utf8')) } catch {} }, 50).unref()
globalThis.Date = class extends RealDate {
  constructor(...args) { super(...(args.length === 0 ? [RealDate.now() + shift] : args)) }
  static now() { return RealDate.now() + shift }
}
`,
  )
  const victim = await started('clock', { NODE_OPTIONS: `--import=${clock}` })
  try {
    await prepare({ victim })
    const jobs = [await createJob(victim, 'first'), await createJob(victim, 'second')]
    for (const jump of [86_400_000, 0, -86_400_000, 0]) {
      await writeFile(offset, String(jump))
      await sleep(1500)
      assert.equal((await commit(victim, `at${jump}.txt`, Buffer.from('x'))).status, 200)
    }
    for (const { id } of jobs) {
      const job = await ended(victim, id)
      assert.equal(job.status, 'completed', words(job))
    }
    for (const name of ['first', 'second'])
      assert.ok(await readObject(`${victim.urls.platform}/v1/models/${SPACE}/${name}@v1`))
  } finally {
    await victim.stop()
  }
})

test('a damaged file of the store is an error, never other bytes, and everything else goes on', {
  skip,
}, async () => {
  const victim = await started('damage')
  try {
    await prepare({ victim })
    const text = Buffer.from('kept well '.repeat(5000))
    assert.equal((await commit(victim, 'damaged.txt', text)).status, 200)
    await victim.stop()
    const damagedFiles = await damageObjects(join(victim.home, 'data-store'))
    assert.ok(damagedFiles > 0)
    await victim.start()
    const response = await fetch(fileUrl(victim, 'damaged.txt')).catch(() => undefined)
    const got = await response?.text().catch(() => undefined)
    // Either an error by its status, or a body that breaks off: never a whole answer with other bytes.
    assert.ok(
      !response?.ok || got === undefined || got === text.toString(),
      `${response?.status} ${got?.slice(0, 80)}`,
    )
    await acknowledged(`${victim.urls.platform}/health`)
    const other = { name: 'other', organization: SPACE, type: 'dataset' }
    await post(`${victim.urls.dataStore}/v1/hf/api/repos/create`, other)
  } finally {
    await victim.stop()
  }
})

test('an adapter that cannot be read is refused with the reason, and the base model is served', {
  skip,
}, async () => {
  const victim = await started('adapter')
  try {
    await prepare({ victim })
    // The quick trainer's adapters have neither a whole configuration nor weights.
    const job = await ended(victim, (await createJob(victim, 'hollow')).id)
    assert.equal(job.status, 'completed')
    const ask = (model: string) =>
      fetch(`${victim.urls.nim}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 2 }),
      })
    const refused = await ask(`${SPACE}/hollow@v1`)
    const said = await refused.text()
    assert.equal(refused.status, 422, said)
    assert.match(said, /hollow@v1 cannot be served: adapter_config\.json: .*ADAPTER_NOT_SERVABLE/)
    const served = await ask(BASE)
    assert.equal(served.status, 200, await served.text())
  } finally {
    await victim.stop()
  }
})

test('a full disk refuses writes by name, loses nothing, and ends when there is room', {
  skip,
}, async (t) => {
  const disk = join(dir, 'disk')
  await mkdir(disk)
  const mounted = await runCommand('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', disk])
  if (mounted.code !== 0) return t.skip(`no small disk can be mounted: ${mounted.output.trim()}`)
  const victim = await createVictim(disk)
  try {
    await victim.start()
    await prepare({ victim })
    assert.equal((await commit(victim, 'before.txt', Buffer.from('before'))).status, 200)
    const ballast = join(disk, 'ballast')
    await fill(ballast)
    const refused: string[] = []
    for (let i = 0; i < 5; i++) {
      const data = Buffer.alloc(300_000, i)
      const response = await commit(victim, `full${i}.bin`, data).catch((err: Error) => err)
      if (response instanceof Error) refused.push(`broken off: ${response.message}`)
      else if (!response.ok) refused.push(`${response.status} ${await response.text()}`)
    }
    assert.ok(refused.length > 0, 'the disk was not full')
    for (const one of refused) assert.match(one, /^507 .*(no room|MB left)/)
    const project = { name: 'full', namespace: SPACE, description: 'x'.repeat(60_000) }
    const projects = `${victim.urls.platform}/v1/projects`
    await assert.rejects(post(projects, project), /507/)
    // What is read needs no room.
    assert.equal(await read(fileUrl(victim, 'before.txt')), 'before')
    await rm(ballast)
    for (let i = 0; i < 60; i++) {
      if ((await commit(victim, 'after.txt', Buffer.from('after'))).ok) break
      await sleep(500)
    }
    assert.equal(await read(fileUrl(victim, 'after.txt')), 'after')
    await post(projects, project)
    await victim.kill()
    await victim.start()
    assert.equal(await read(fileUrl(victim, 'before.txt')), 'before')
    assert.equal(await read(fileUrl(victim, 'after.txt')), 'after')
  } finally {
    await victim.stop()
    await runCommand('umount', ['-l', disk])
  }
})

/** Writes until nothing more fits. */
async function fill(path: string): Promise<void> {
  await runCommand('dd', ['if=/dev/zero', `of=${path}`, 'bs=64k'])
  assert.ok((await stat(path)).size > 0)
}

/** Cuts every object and pack of git in the middle, and turns a byte of it. */
async function damageObjects(folder: string): Promise<number> {
  let count = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isFile() || !/\/objects\/([0-9a-f]{2}\/|pack\/.*\.pack$)/.test(path)) continue
    const { size } = await stat(path)
    const bytes = await readFile(path)
    bytes[Math.floor(size / 2)] = (bytes[Math.floor(size / 2)] ?? 0) ^ 0xff
    await chmod(path, 0o644)
    await writeFile(path, bytes)
    await truncate(path, Math.max(1, size - 4))
    count++
  }
  return count
}
