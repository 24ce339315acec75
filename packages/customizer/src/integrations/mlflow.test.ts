// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import { ensureUv, findPython, runCommand } from '@open-nemo/runtime/python/index.ts'
import { startHarness } from '../testing/harness.ts'

// The real server, as our image has it. It takes a while to install and to start.
const isSlow = process.env.NEMO_SLOW === '1'
const skip = !isSlow && 'NEMO_SLOW=1 installs MLflow from PyPI and starts it'
const IMAGE = fileURLToPath(new URL('../../../../deploy/images/mlflow/', import.meta.url))
const START_MS = 180_000

let db: Database
let dir: string
let server: ChildProcess | undefined
let url = ''

before(async () => {
  if (!isSlow) return
  db = await openMemoryDatabase()
  dir = await mkdtemp(join(tmpdir(), 'mlflow-'))
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const store = [
    '--backend-store-uri',
    `sqlite:///${dir}/ml.db`,
    '--artifacts-destination',
    `${dir}/artifacts`,
  ]
  const args = [
    '-m',
    'mlflow',
    'server',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    '--workers',
    '1',
    ...store,
  ]
  server = spawn(await mlflowPython(), args, { cwd: dir, stdio: 'ignore', detached: true })
  for (const end = Date.now() + START_MS; ; await sleep(500)) {
    const isUp = await fetch(`${url}/health`).then(
      (response) => response.ok,
      () => false,
    )
    if (isUp) return
    if (Date.now() > end || server.exitCode !== null) throw new Error('MLflow did not start')
  }
})
after(async () => {
  // Its workers are processes of its group.
  if (server?.pid) process.kill(-server.pid, 'SIGKILL')
  await db?.close()
  if (dir) await rm(dir, { recursive: true, force: true })
})

async function mlflowPython(): Promise<string> {
  const cache = process.env.NEMO_CACHE ?? join(homedir(), '.cache/open-nemo')
  const { env } = process
  const version = /^mlflow==(\S+)/m.exec(await readFile(join(IMAGE, 'requirements.txt'), 'utf8'))?.[1]
  const uv = await ensureUv(cache, env)
  const python = await findPython(env)
  const made = await ensureCached(cache, `bench/mlflow-${version}`, {
    needBytes: 1e9,
    build: async (tmp) => {
      await runCommand(uv, ['venv', '--quiet', '--clear', '--python', python.command, tmp], { env })
      const packages = ['-r', join(IMAGE, 'requirements.txt'), '-c', join(IMAGE, 'requirements.lock')]
      const into = ['--python', join(tmp, 'bin', 'python')]
      await runCommand(uv, ['pip', 'install', '--quiet', ...into, ...packages], { env })
    },
  })
  return join(made, 'bin', 'python')
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}

// biome-ignore lint/suspicious/noExplicitAny: MLflow's answers are read field by field
async function ask(path: string, body?: unknown): Promise<any> {
  const init = body ? { method: 'POST', body: JSON.stringify(body) } : {}
  const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
    ...init,
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(response.status, 200, await response.clone().text())
  return response.json()
}

test('jobs are runs of a real MLflow: parameters, metrics by step, tags and how they ended', {
  skip,
}, async () => {
  const h = await startHarness(db, { settings: { NEMO_MLFLOW_URL: url }, env: { FAKE_STEP_MS: '300' } })
  try {
    const integrations = [{ type: 'mlflow', mlflow: { experiment_name: "it's mine", tags: { team: 'a' } } }]
    const id = await h.createJob({ output_model: 'demo/logged', integrations })
    await h.waitFor(id, 'running')
    await sleep(2500)
    // A restart in the middle goes on with the same run.
    await h.restart({ FAKE_STEP_MS: '50' })
    const job = await h.waitFor(id, 'completed')
    assert.equal(job.warnings, null)
    const cancelled = await h.createJob({ hyperparameters: { finetuning_type: 'lora', epochs: 500 } })
    await h.waitFor(cancelled, 'running')
    await h.call('POST', `/v1/customization/jobs/${cancelled}/cancel`)
    await h.waitFor(cancelled, 'cancelled')

    const runs = async (experiment: string) => {
      const { experiments } = await ask('experiments/search', { max_results: 10 })
      const found = experiments?.find((each: { name: string }) => each.name === experiment)
      if (!found) return []
      return (await ask('runs/search', { experiment_ids: [found.experiment_id] })).runs ?? []
    }
    const [run, ...others] = await runs("it's mine")
    assert.deepEqual([others, run.info.status, run.info.run_name], [[], 'FINISHED', `demo/logged@${id}`])
    const pairs = (list: { key: string; value: unknown }[]) =>
      Object.fromEntries(list.map(({ key, value }) => [key, value]))
    const params = pairs(run.data.params)
    assert.deepEqual(
      [params['lora.alpha'], params.epochs, params.base_model, params.dataset],
      ['16', '2', 'smollm2/smollm2-135m-instruct', 'demo/rows'],
    )
    const tags = pairs(run.data.tags)
    assert.deepEqual(
      [tags.team, tags['nemo.job_id'], tags['nemo.output_model']],
      ['a', id, `demo/logged@${id}`],
    )
    const history = await ask(`metrics/get-history?run_id=${run.info.run_id}&metric_key=train_loss`)
    assert.deepEqual(
      history.metrics.map(({ step, value }: { step: string; value: number }) => [Number(step), value]),
      [2, 4, 6, 8].map((step) => [step, 4 / step]),
    )
    assert.ok(pairs(run.data.metrics).val_loss)
    // A cancellation does not wait for the tracker.
    const ended = async () => (await runs('nvidia-nemo-customizer'))[0]?.info.status
    for (const end = Date.now() + 60_000; (await ended()) !== 'KILLED' && Date.now() < end; ) await sleep(500)
    assert.equal(await ended(), 'KILLED')
  } finally {
    await h.close()
  }
})
