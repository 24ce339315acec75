// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { evaluateJob } from '../one-job.ts'
import { type Body, type Harness, MODEL, startHarness } from '../testing/harness.ts'

let db: Database
let h: Harness
let folder: string
const SECRET = MODEL.api_endpoint.api_key
const V1 = '/v1/evaluation'
const V2 = '/v2/evaluation/jobs'

before(async () => {
  db = await openMemoryDatabase()
  h = await startHarness(db)
  folder = await mkdtemp(join(tmpdir(), 'nemo-eval-'))
  const rows = Array.from({ length: 40 }, (_, n) => ({ q: `question ${n}`, a: `question ${n}` }))
  h.platform.repos.set('demo/rows', { 'a/rows.json': JSON.stringify(rows), 'b.csv': 'q,a\nx,x\ny,"y,y"\n' })
})
after(async () => {
  await h.close()
  await db.close()
  await rm(folder, { recursive: true, force: true })
})

const CHECK = { type: 'string-check', params: { check: ['{{sample.output_text}}', 'equals', '{{item.a}}'] } }
const configOf = (change: Record<string, unknown> = {}) => ({
  type: 'custom',
  params: { parallelism: 4 },
  tasks: {
    qa: {
      type: 'chat-completion',
      dataset: { files_url: 'hf://datasets/demo/rows/a' },
      params: { template: { messages: [{ role: 'user', content: '{{item.q}}' }] } },
      metrics: { check: CHECK },
    },
  },
  ...change,
})
const TARGET = { type: 'model', model: MODEL }

function answerWith(answer: Harness['platform']['answer']): void {
  h.platform.asked.length = 0
  h.platform.answer = answer
}

test('one bad sample is reported and does not fail the job; retries are counted', async () => {
  let throttled = 0
  answerWith(({ body }) => {
    const said = body.messages[0].content
    if (said === 'question 3') return new Response(`bad request for ${SECRET}`, { status: 400 })
    if (said === 'question 5' && throttled++ < 2) {
      return new Response('slow down', { status: 429, headers: { 'retry-after': '0' } })
    }
    return said
  })
  const { job, result } = await h.run({ target: TARGET, config: configOf({ params: { limit_samples: 10 } }) })
  assert.equal(job.status, 'completed')
  assert.equal(job.status_details.samples_processed, 10)
  assert.match(job.status_details.message, /^Job completed successfully\. 1 of 10 samples failed.*400/)
  assert.match(job.status_details.message, /2 requests were sent again/)
  assert.equal(result.tasks.qa.metrics.check.scores['string-check'].stats.count, 9)
  assert.equal(h.platform.asked.length, 12)
})

test('a job whose endpoint refuses everything fails with the reason', async () => {
  answerWith(() => new Response('no such model', { status: 404 }))
  const { job, result } = await h.run({ target: TARGET, config: configOf() })
  assert.equal(job.status, 'failed')
  assert.match(job.status_details.message, /all failed.*answered 404: no such model/)
  assert.deepEqual(job.status_details.task_status, { qa: 'failed' })
  assert.equal(result.code, 'RESULT_NOT_READY')
  assert.ok(h.platform.asked.length <= 40)
})

test('requests to the model stay within the parallelism', async () => {
  answerWith(async ({ body }) => {
    await sleep(5)
    return body.messages[0].content
  })
  h.platform.peak = 0
  await h.run({ target: TARGET, config: configOf() })
  assert.equal(h.platform.peak, 4)
})

test('a running job shows progress, is cancelled at once, and keeps what it recorded', async () => {
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  answerWith(async ({ body }) => {
    if (h.platform.asked.length > 20) await gate
    return body.messages[0].content
  })
  const id = await h.createJob({
    target: TARGET,
    config: configOf({ params: { parallelism: 2, limit_samples: 40 } }),
  })
  let status: Body
  for (let i = 0; i < 200; i++, await sleep(20)) {
    status = (await h.call('GET', `${V1}/jobs/${id}/status`)).body
    if (status.progress > 0) break
  }
  assert.equal(status.task_status.qa, 'running')
  assert.ok(status.progress >= 40 && status.progress < 100, `${status.progress}`)
  const start = Date.now()
  const cancelled = await h.call('POST', `${V1}/jobs/${id}/cancel`, {})
  assert.equal(cancelled.body.status, 'cancelling')
  await h.waitFor(id, 'cancelled')
  assert.ok(Date.now() - start < 5000)
  assert.equal((await h.call('POST', `${V1}/jobs/${id}/cancel`)).body.status, 'cancelled')
  release()
  const [count] = await db.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM evaluator.samples WHERE job = $1',
    [id],
  )
  assert.ok((count?.n ?? 0) >= 18)
  assert.equal((await h.call('DELETE', `${V1}/jobs/${id}`)).status, 204)
  assert.equal((await h.call('GET', `${V1}/jobs/${id}`)).status, 404)
})

test('a job goes on at the next sample after the service was stopped', async () => {
  let release = () => {}
  let gate: Promise<void> | undefined = new Promise<void>((resolve) => {
    release = resolve
  })
  answerWith(async ({ body }) => {
    if (gate && h.platform.asked.length > 10) await gate
    return body.messages[0].content
  })
  const id = await h.createJob({ target: TARGET, config: configOf() })
  while (h.platform.asked.length < 12) await sleep(10)
  gate = undefined
  await h.restart()
  release()
  const job = await h.waitFor(id, 'completed')
  assert.equal(job.status_details.samples_processed, 40)
  const asked = h.platform.asked.map(({ body }) => body.messages[0].content)
  assert.ok(asked.length < 50, `${asked.length} requests for 40 samples`)
  assert.equal(new Set(asked).size, 40)
})

test('deleting a running job cancels it first', async () => {
  answerWith(() => new Promise(() => {}))
  const id = await h.createJob({ target: TARGET, config: configOf() })
  await h.waitFor(id, 'running')
  assert.equal((await h.call('DELETE', `${V1}/jobs/${id}`)).status, 204)
  assert.equal((await h.call('GET', `${V1}/jobs/${id}`)).status, 404)
})

test('downloads hold config, samples, log, results and report, and no secret anywhere', async () => {
  answerWith(({ body }) => `${body.messages[0].content} <b>${SECRET}</b> sk-judge-key-22`)
  const judge = {
    type: 'llm-judge',
    params: {
      model: { api_endpoint: { url: 'http://judge.example/v1', model_id: 'j', api_key: 'sk-judge-key-22' } },
      template: { messages: [{ role: 'user', content: 'Rate {{sample.output_text}}' }] },
      scores: { rate: { type: 'int', parser: { type: 'regex', pattern: '(\\d+)' } } },
    },
  }
  const config = configOf({ params: { limit_samples: 3 } })
  config.tasks.qa.metrics = { check: CHECK, judge } as never
  const { job, result } = await h.run({ target: TARGET, config, namespace: 'demo' })
  assert.equal(job.status, 'completed', JSON.stringify(job.status_details))
  assert.equal(result.tasks.qa.metrics.judge.scores.rate.stats.count, 3)
  const zip = join(folder, 'job.zip')
  await writeFile(zip, await h.download(`${V1}/jobs/${job.id}/download-results`))
  execFileSync('python3', ['-m', 'zipfile', '-e', zip, join(folder, 'job')])
  const names = (await readdir(join(folder, 'job'), { recursive: true })).sort()
  for (const name of [
    'config.json',
    'logs.txt',
    'report.html',
    'results.json',
    'samples/qa.jsonl',
    'target.json',
  ]) {
    assert.ok(names.includes(name), `${name} in ${names}`)
  }
  for (const name of names.filter((one) => one.includes('.'))) {
    assert.doesNotMatch(
      await readFile(join(folder, 'job', name), 'utf8'),
      /sk-very-secret-1|sk-judge-key-22/,
      name,
    )
  }
  const report = await readFile(join(folder, 'job', 'report.html'), 'utf8')
  assert.match(report, /question 0 &lt;b&gt;\*{6}&lt;\/b&gt;/)
  assert.match(report, /string-check/)
  const samples = (await readFile(join(folder, 'job', 'samples/qa.jsonl'), 'utf8')).trim().split('\n')
  assert.equal(samples.length, 3)
  const logs = join(folder, 'logs.zip')
  await writeFile(logs, await h.download(`${V1}/jobs/${job.id}/logs`))
  assert.match(execFileSync('python3', ['-m', 'zipfile', '-l', logs], { encoding: 'utf8' }), /logs\.txt/)
  for (const table of ['jobs', 'samples', 'logs', 'results']) {
    const rows = await db.query(`SELECT to_jsonb(t)::text AS text FROM evaluator.${table} AS t`)
    assert.doesNotMatch(JSON.stringify(rows), /sk-very-secret-1|sk-judge-key-22/, table)
  }
  const left = await db.query('SELECT job FROM evaluator.job_secrets WHERE job = $1', [job.id])
  assert.deepEqual(left, [])
})

test('v2 jobs are documents of platform jobs, with paged logs and results by name', async () => {
  answerWith(({ body }) => body.messages[0].content)
  const spec = { target: TARGET, config: configOf({ params: { limit_samples: 4 } }) }
  const made = await h.call('POST', V2, { spec, name: 'mine', namespace: 'demo', project: 'p' })
  assert.equal(made.status, 200, JSON.stringify(made.body))
  const id = made.body.id
  assert.deepEqual([made.body.name, made.body.status, made.body.error_details], ['mine', 'created', null])
  assert.equal(made.body.spec.target.model.api_endpoint.api_key, '******')
  assert.ok(!('schema_version' in made.body.spec.target))
  let status: Body
  for (let i = 0; i < 300; i++, await sleep(10)) {
    status = (await h.call('GET', `${V2}/${id}/status`)).body
    if (status.status === 'completed') break
  }
  assert.equal(status.job_id, id)
  assert.equal(status.steps[0].tasks[0].status, 'completed')
  assert.equal((await h.call('GET', `${V2}/${id}`)).body.status, 'completed')
  assert.equal((await h.call('GET', `${V2}?filter[status]=completed&filter[name]=mine`)).body.data[0].id, id)
  assert.equal((await h.call('GET', `${V1}/jobs/${id}`)).status, 404)

  const messages: string[] = []
  for (let cursor = ''; ; ) {
    const { body } = await h.call('GET', `${V2}/${id}/logs?limit=2&page_cursor=${cursor}`)
    assert.ok(body.data.length <= 2)
    messages.push(...body.data.map((line: Body) => line.message))
    if (!body.next_page) {
      assert.equal(body.total, messages.length)
      break
    }
    cursor = body.next_page
  }
  assert.equal(messages[0], 'the job begins')
  assert.equal(messages.at(-1), 'Job completed successfully.')

  const { body: results } = await h.call('GET', `${V2}/${id}/results`)
  assert.deepEqual(
    results.data.map((one: Body) => one.result_name),
    ['evaluation-results', 'artifacts'],
  )
  assert.equal((await h.call('GET', `${V2}/${id}/results/artifacts`)).body.artifact_storage_type, 'nds')
  assert.equal((await h.call('GET', `${V2}/${id}/results/absent`)).body.code, 'JOB_RESULT_NOT_FOUND')
  const scores = await h.call('GET', `${V2}/${id}/results/evaluation-results/download`)
  assert.equal(scores.body.tasks.qa.metrics.check.scores['string-check'].value, 1)
  const tar = join(folder, 'job.tar.gz')
  await writeFile(tar, await h.download(`${V2}/${id}/results/artifacts/download`))
  assert.match(execFileSync('tar', ['-tzf', tar], { encoding: 'utf8' }), /report\.html/)
  assert.equal((await h.call('DELETE', `${V2}/${id}`)).status, 200)
})

test('rows, files of several kinds, recorded outputs and targets by name work as well', async () => {
  answerWith(({ body }) => body.messages[0].content)
  await h.call('POST', `${V1}/targets`, {
    type: 'rows',
    name: 'some-rows',
    namespace: 'demo',
    rows: [{ output: 'x', a: 'x' }],
  })
  const data = { type: 'custom', tasks: { d: { type: 'data', metrics: { check: CHECK } } } }
  await h.call('POST', `${V1}/configs`, { ...data, name: 'data-config', namespace: 'demo' })
  const byName = await h.run({ target: 'demo/some-rows', config: 'demo/data-config' })
  assert.equal(byName.result.tasks.d.metrics.check.scores['string-check'].value, 1)
  assert.equal(byName.job.target.name, 'some-rows')
  const csv = await h.run({
    target: TARGET,
    config: {
      ...configOf(),
      tasks: { qa: { ...configOf().tasks.qa, dataset: 'hf://datasets/demo/rows/b.csv' } },
    },
  })
  assert.equal(csv.result.tasks.qa.metrics.check.scores['string-check'].value, 0.5)
  h.platform.repos.set('demo/cached', { 'out.jsonl': '{"response":"question 0"}\n{"response":"no"}\n' })
  const recorded = await h.run({
    target: { type: 'cached_outputs', cached_outputs: { files_url: 'hf://datasets/demo/cached/out.jsonl' } },
    config: configOf(),
  })
  assert.equal(recorded.result.tasks.qa.metrics.check.scores['string-check'].value, 0.5)
  h.platform.entities.set('models/team/named', {
    name: 'named',
    namespace: 'team',
    api_endpoint: { url: 'http://named.example/v1/chat/completions', model_id: 'n' },
  })
  answerWith(({ body }) => body.messages[0].content)
  const named = await h.run({
    target: { type: 'model', model: 'team/named' },
    config: configOf({ params: { limit_samples: 1 } }),
  })
  assert.equal(named.job.status, 'completed')
  assert.equal(h.platform.asked[0]?.url, 'http://named.example/v1/chat/completions')
  await h.run({
    target: { type: 'model', model: 'served/model' },
    config: configOf({ params: { limit_samples: 1 } }),
  })
  assert.equal(h.platform.asked[1]?.url, 'http://inference/v1/chat/completions')
})

test('the files of a job are committed where it says, and a job whose files cannot be is told so', async () => {
  answerWith(({ body }) => body.messages[0].content)
  const job = { target: TARGET, config: configOf({ params: { limit_samples: 2 } }) }
  const { result } = await h.run({ ...job, output_files_url: 'hf://datasets/demo/out/run-1' })
  assert.equal(result.files_url, 'hf://datasets/demo/out/run-1')
  const files = h.platform.repos.get('demo/out') ?? {}
  assert.match(files['run-1/report.html'] ?? '', /completed/)
  assert.equal(files['run-1/samples/qa.jsonl']?.trim().split('\n').length, 2)
  assert.doesNotMatch(Object.values(files).join(''), /sk-very-secret-1/)
  const other = await h.run({ ...job, output_files_url: 's3://bucket/x' })
  assert.equal(other.job.status, 'completed')
  assert.match(other.job.status_details.message, /could not be written to s3:/)
})

test('a job runs in a process of its own as well, beside no service', async () => {
  answerWith(() => new Promise(() => {}))
  const id = await h.createJob({ target: TARGET, config: configOf() })
  await h.waitFor(id, 'running')
  await h.service.stop()
  answerWith(({ body }) => body.messages[0].content)
  const { signal } = new AbortController()
  const alone = { ...h.context, dataDir: join(folder, 'pod') }
  await mkdir(alone.dataDir)
  assert.equal(await evaluateJob(alone, id, signal), 'completed')
  assert.equal(h.platform.asked.length, 40)
  assert.equal(await evaluateJob(alone, 'eval-absent', signal), undefined)
})
