// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { newRepo } from '../testing/fake-platform.ts'
import { type Body, type Harness, jsonl, ROWS, startHarness } from '../testing/harness.ts'

let db: Database
let harness: Harness
before(async () => {
  db = await openMemoryDatabase()
})
afterEach(async () => {
  await harness.close()
  await db.exec('DELETE FROM customizer.jobs')
})
after(() => db.close())

const messages = (job: Body): string[] => job.status_details.status_logs.map((l: Body) => l.message)
const lastLog = (job: Body) => job.status_details.status_logs.at(-1)

test('a job goes from its data to a served model, and tells so in the documented order', async () => {
  harness = await startHarness(db)
  const id = await harness.createJob({ output_model: 'demo/tuned@v1', description: 'mine' })
  const job = await harness.waitFor(id, 'completed')
  assert.deepEqual(messages(job), [
    'created',
    'PVCCreated',
    'EntityHandler_0_Created',
    'EntityHandler_0_Pending',
    'EntityHandler_0_Running',
    'EntityHandler_0_Completed',
    'TrainingJobCreated',
    'TrainingJobPending',
    'TrainingJobRunning',
    'TrainingJobCompleted',
    'EntityHandler_1_Created',
    'EntityHandler_1_Pending',
    'EntityHandler_1_Running',
    'EntityHandler_1_Completed',
  ])
  const { body: status } = await harness.call('GET', `/v1/customization/jobs/${id}/status`)
  assert.equal(status.status, 'completed')
  assert.deepEqual(
    [status.steps_completed, status.epochs_completed, status.percentage_done, status.steps_per_epoch],
    [8, 2, 100, 4],
  )
  assert.deepEqual([status.best_epoch, status.train_loss, status.val_loss], [2, 0.5, 0.6])
  assert.deepEqual(status.metrics.keys, ['train_loss', 'val_loss'])
  assert.deepEqual(
    status.metrics.metrics.train_loss.map((m: Body) => m.step),
    [1, 3, 5, 7],
  )
  assert.deepEqual(
    status.metrics.metrics.val_loss.map((m: Body) => m.step),
    [3, 7],
  )
  assert.match(status.metrics.metrics.val_loss[0].timestamp, /^\d{4}-.*T[\d:.]+$/)
  assert.equal(job.warnings, null)

  const repo = harness.platform.repos.get('model/demo/tuned')
  assert.deepEqual(Object.keys(repo?.files ?? {}).sort(), [
    'adapter_config.json',
    'adapter_model.safetensors',
    'training_origin.json',
  ])
  const adapter = JSON.parse(String(repo?.files['adapter_config.json']))
  assert.equal(adapter.base_model_sha256, 'abc')
  assert.equal(repo?.tags.v1, repo?.commits[0]?.id)
  const entity = harness.platform.entities.get('models/demo/tuned@v1') as Body
  assert.equal(entity.base_model, 'smollm2/smollm2-135m-instruct')
  assert.equal(entity.artifact.files_url, 'hf://demo/tuned@v1')
  assert.equal(entity.artifact.status, 'upload_completed')
  assert.equal(entity.peft.finetuning_type, 'lora')
  assert.equal(entity.custom_fields.base_model_sha256, 'abc')
  assert.equal(entity.spec.context_size, 8192)

  const { body: logs } = await harness.call('GET', `/v1/customization/jobs/${id}/container-logs`)
  assert.match(logs.entries['training-job'].logs.trainer, /fake trainer/)
  assert.match(logs.entries['training-job'].logs.progress, /step 8: train_loss 0.5\n.*step 8: val_loss/)
  assert.equal(logs.error, null)
  // The job is completed first, and its leftovers are swept then.
  const workdir = join(harness.dataDir, 'jobs', id)
  for (let i = 0; i < 100 && (await readdir(workdir)).includes('data'); i++) await sleep(20)
  assert.ok(!(await readdir(workdir)).includes('data'))
})

test('bad data fails the job before training, naming file and line', async () => {
  harness = await startHarness(db)
  const rows = `${jsonl(ROWS.slice(0, 2))}{"prompt": "q"}\n`
  harness.platform.repos.set('dataset/demo/bad', newRepo({ 'training/b.jsonl': rows }))
  const job = await harness.waitFor(await harness.createJob({ dataset: 'demo/bad' }), 'failed')
  assert.equal(lastLog(job).message, 'EntityHandler_0_Failed')
  assert.match(lastLog(job).detail, /training\/b\.jsonl, line 3: the row has no field "completion"/)
})

test('what the trainer says of its failure reaches the user', async () => {
  harness = await startHarness(db, { env: { FAKE_FAIL: 'the model cannot be tuned' } })
  const job = await harness.waitFor(await harness.createJob(), 'failed')
  assert.deepEqual(lastLog(job).message, 'TrainingJobFailed')
  assert.equal(lastLog(job).detail, 'the model cannot be tuned')
  const { body: logs } = await harness.call('GET', `/v1/customization/jobs/${job.id}/container-logs`)
  assert.equal(logs.error.stack_trace, 'traceback')
})

test('a trainer that ends without a word fails the job with its code', async () => {
  harness = await startHarness(db, { env: { FAKE_EXIT: '9' } })
  const job = await harness.waitFor(await harness.createJob(), 'failed')
  assert.match(lastLog(job).detail, /exit code 9/)
})

test('a running job is cancelled within five seconds, even with a stubborn trainer', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '200', FAKE_STUBBORN: '1' } })
  const id = await harness.createJob({ output_model: 'demo/cancelled' })
  await harness.waitFor(id, 'running')
  const before = Date.now()
  const { body, status } = await harness.call('POST', `/v1/customizations/${id}/cancel`)
  assert.deepEqual([status, body.status], [200, 'cancelling'])
  const job = await harness.waitFor(id, 'cancelled')
  assert.ok(Date.now() - before < 5000)
  assert.deepEqual(messages(job).slice(-2), ['cancelling', 'cancelled'])
  const again = await harness.call('POST', `/v1/customization/jobs/${id}/cancel`)
  assert.deepEqual([again.status, again.body.code], [409, 'JOB_NOT_ACTIVE'])
})

test('a second job waits, saying so, and can be cancelled while it does', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '100' } })
  const first = await harness.createJob({ output_model: 'demo/one' })
  await harness.waitFor(first, 'running')
  const second = await harness.createJob({ output_model: 'demo/two' })
  const waiting = await harness.waitFor(second, 'pending')
  assert.equal(lastLog(waiting).message, 'NotEnoughResources')
  assert.match(lastLog(waiting).detail, new RegExp(first))
  const { body } = await harness.call('POST', `/v1/customization/jobs/${second}/cancel`)
  assert.equal(body.status, 'cancelled')
  assert.equal((await harness.waitFor(first, 'completed')).status, 'completed')
  const done = await harness.call('POST', `/v1/customization/jobs/${first}/cancel`)
  assert.deepEqual([done.status, done.body.code], [409, 'JOB_NOT_ACTIVE'])
})

test('as many jobs train at once as may, each with its own failure, and the next one waits for any', async () => {
  harness = await startHarness(db, {
    env: { FAKE_STEP_MS: '100' },
    settings: { NEMO_CUSTOMIZER_JOBS: '2' },
  })
  const jobs = [await harness.createJob(), await harness.createJob()]
  await Promise.all(jobs.map((id) => harness?.waitFor(id, 'running')))
  const third = await harness.createJob()
  const waiting = await harness.waitFor(third, 'pending')
  assert.match(lastLog(waiting).detail, new RegExp(`${jobs.join('|')}.*2 train at a time`))
  await harness.call('POST', `/v1/customization/jobs/${jobs[0]}/cancel`)
  await harness.waitFor(third, 'running')
  assert.equal((await harness.waitFor(jobs[1] ?? '', 'completed')).status, 'completed')
  assert.equal((await harness.waitFor(third, 'completed')).status, 'completed')
  assert.equal((await harness.waitFor(jobs[0] ?? '', 'cancelled')).status, 'cancelled')
})

test('a stop of the platform puts the job back, and the next start goes on from the checkpoint', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '60' } })
  const id = await harness.createJob({ output_model: 'demo/resumed' })
  await harness.waitFor(id, 'running')
  await sleep(250)
  await harness.restart()
  const job = await harness.waitFor(id, 'completed')
  assert.match(
    job.status_details.status_logs.findLast((l: Body) => l.message === 'TrainingJobRunning').detail,
    /going on from step \d/,
  )
  const steps = job.status_details.metrics.metrics.train_loss.map((m: Body) => m.step)
  assert.deepEqual(steps, [1, 3, 5, 7])
})

test('a trainer that is killed goes on from its checkpoint', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '60' } })
  const id = await harness.createJob({ output_model: 'demo/killed' })
  await harness.waitFor(id, 'running')
  await sleep(150)
  process.kill(
    -Number.parseInt(await readFile(join(harness.dataDir, 'jobs', id, 'process'), 'utf8'), 10),
    'SIGKILL',
  )
  const job = await harness.waitFor(id, 'completed')
  assert.equal(messages(job).filter((message) => message === 'TrainingJobRunning').length, 2)
})

test('a job whose work folder is gone begins anew', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '60' } })
  const id = await harness.createJob({ output_model: 'demo/moved' })
  await harness.waitFor(id, 'running')
  await sleep(150)
  await harness.service.stop()
  await rm(join(harness.dataDir, 'jobs', id), { recursive: true })
  await harness.restart()
  const job = await harness.waitFor(id, 'completed')
  assert.equal(messages(job).filter((message) => message === 'EntityHandler_0_Completed').length, 2)
  assert.equal(job.status_details.steps_completed, 8)
})

test('a job whose cancellation was under way when the platform was killed is cancelled at the next start', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '100' } })
  const id = await harness.createJob({ output_model: 'demo/half' })
  await harness.waitFor(id, 'running')
  await harness.service.stop()
  const killed = `UPDATE customizer.jobs SET status = 'cancelling', cancel_requested = true WHERE id = '${id}'`
  await db.exec(killed)
  await harness.restart()
  await harness.waitFor(id, 'cancelled')
  assert.equal(harness.platform.entities.has('models/demo/half'), false)
})

test('a job killed after its last step only has its status to set', async () => {
  harness = await startHarness(db)
  const id = await harness.createJob({ output_model: 'demo/late' })
  await harness.waitFor(id, 'completed')
  await harness.service.stop()
  await db.exec(`UPDATE customizer.jobs SET status = 'running' WHERE id = '${id}'`)
  const before = harness.platform.calls.length
  await harness.restart()
  await harness.waitFor(id, 'completed')
  assert.equal(harness.platform.calls.length, before)
})

test('the ending resumes after a kill: a commit without its tag, and an entity that is there, are not made again', async () => {
  harness = await startHarness(db)
  const id = await harness.createJob({ output_model: 'demo/ending@v1' })
  await harness.waitFor(id, 'completed')
  await harness.service.stop()
  const repo = harness.platform.repos.get('model/demo/ending')
  assert.ok(repo)
  repo.tags = {}
  await db.exec(`UPDATE customizer.jobs SET status = 'running', step = 'adapter' WHERE id = '${id}'`)
  harness.platform.calls.length = 0
  await harness.restart()
  await harness.waitFor(id, 'completed')
  assert.deepEqual([repo.tags.v1, repo.commits.length], [repo.commits[0]?.id, 2])
  const writes = harness.platform.calls.filter((call) => !call.startsWith('GET'))
  assert.deepEqual(writes, [
    'POST /v1/hf/api/repos/create',
    'POST /v1/hf/api/models/demo/ending/tag/c1',
    'PATCH /v1/models/demo/ending%40v1',
    'POST /v1/internal/refresh',
  ])
})

test('a model of the same name that somebody makes meanwhile is not overwritten', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '30' } })
  const id = await harness.createJob({ output_model: 'demo/race@v1' })
  await harness.waitFor(id, 'running')
  harness.platform.entities.set('models/demo/race@v1', { custom_fields: {} })
  const job = await harness.waitFor(id, 'failed')
  assert.equal(lastLog(job).message, 'EntityHandler_1_Failed')
  assert.match(lastLog(job).detail, /demo\/race@v1 already exists/)
})

test('tools of the job are given to chats that name none', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '80' } })
  const chat = {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  }
  const rows = jsonl([chat, { ...chat, tools: [{ own: 1 }] }])
  harness.platform.repos.set('dataset/demo/chats', newRepo({ 'training/c.jsonl': rows }))
  const id = await harness.createJob({ dataset: 'demo/chats', dataset_parameters: { tools: [{ given: 1 }] } })
  await harness.waitFor(id, 'running')
  const text = await readFile(join(harness.dataDir, 'jobs', id, 'data', 'training', 'c.jsonl'), 'utf8')
  assert.deepEqual(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).tools),
    [[{ given: 1 }], [{ own: 1 }]],
  )
  await harness.waitFor(id, 'completed')
})

test('a limit takes the first rows over all files, and leaves validation whole', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '80' } })
  const rows = (...numbers: number[]) => jsonl(numbers.map((n) => ({ prompt: `${n}`, completion: 'x' })))
  const files = {
    'training/a.jsonl': rows(1, 2),
    'training/b.jsonl': rows(3, 4),
    'training/c.jsonl': rows(5),
    'validation/v.jsonl': rows(6, 7, 8, 9),
  }
  harness.platform.repos.set('dataset/demo/many', newRepo(files))
  const dataset = { files_url: 'hf://datasets/demo/many', limit: 3 }
  const id = await harness.createJob({ dataset })
  const job = await harness.waitFor(id, 'running')
  const checked = job.status_details.status_logs.find((l: Body) => l.message === 'EntityHandler_0_Completed')
  assert.equal(checked.detail, '3 training and 4 validation rows')
  const folder = join(harness.dataDir, 'jobs', id, 'data', 'training')
  assert.equal(await readFile(join(folder, 'b.jsonl'), 'utf8'), rows(3))
  await assert.rejects(readFile(join(folder, 'c.jsonl')), { code: 'ENOENT' })
  await harness.waitFor(id, 'completed')
})

test('an outage of the data store is waited out, and the ending is not done twice', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '20' } })
  const id = await harness.createJob({ output_model: 'demo/outage@v2' })
  await harness.waitFor(id, 'running')
  harness.platform.outage = 503
  await sleep(600)
  harness.platform.outage = undefined
  await harness.waitFor(id, 'completed')
  const repo = harness.platform.repos.get('model/demo/outage')
  assert.equal(repo?.commits.length, 2)
})

test('a model that is not served in time is a warning', async () => {
  harness = await startHarness(db)
  harness.platform.isServing = false
  const id = await harness.createJob({ output_model: 'demo/unserved' })
  const job = await harness.waitFor(id, 'completed')
  assert.match(job.warnings[0].message, /demo\/unserved@cust-\w+ is stored, but not served yet/)
})

test('the trainer is told what the job says, and warm-up only when it was asked for', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '50' } })
  const id = await harness.createJob()
  await harness.waitFor(id, 'running')
  const spec = JSON.parse(await readFile(join(harness.dataDir, 'jobs', id, 'job.json'), 'utf8'))
  assert.equal('warmup_steps' in spec.hyperparameters, false)
  assert.equal(spec.hyperparameters.batch_size, 2)
  assert.equal(spec.seed, 42)
  assert.equal(spec.model_dir, '/models/checkpoint')
  assert.match(spec.training_files[0], /data\/training\/a\.jsonl$/)
  const job = await harness.waitFor(id, 'completed')
  assert.equal(job.hyperparameters.warmup_steps, 200)
  assert.equal(job.output_model, null)
  assert.ok(harness.platform.repos.has(`model/default/${id}`))
})
