// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, jsonl, MODEL, startHarness } from '../../testing/harness.ts'
import { kindOf } from '../registry.ts'
import { harnessTask, isHandled } from './names.ts'

const FAKE = fileURLToPath(new URL('../../testing/fake-lm-eval.mjs', import.meta.url))
let folder: string
let python: string
let db: Database
let h: Harness

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemo-lm-eval-'))
  python = join(folder, 'python')
  await writeFile(python, `#!/bin/sh\nexec '${process.execPath}' '${join(folder, 'fake.mjs')}' "$@"\n`)
  await chmod(python, 0o755)
  await copyFile(FAKE, join(folder, 'fake.mjs'))
  db = await openMemoryDatabase()
  h = await startHarness(db, { env: { NEMO_LM_EVAL_PYTHON: python, SECRET_OF_THE_PLATFORM: 'x' } })
})
after(async () => {
  await h.close()
  await db.close()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => {
  h.platform.asked.length = 0
  h.platform.answer = ({ body }) => body.prompt
  h.platform.repos.set('demo/rows', {
    'rows.jsonl': jsonl([1, 2, 3, 4, 5, 6].map((n) => ({ q: `q${n}`, a: n % 2 ? `q${n}` : 'other' }))),
  })
})

const params = { doc_to_text: '{{q}}', doc_to_target: '{{a}}' }
const job = (task: object = {}, config: object = {}, model: object = MODEL) => ({
  target: { type: 'model', model },
  config: {
    type: 'lm-evaluation-harness',
    tasks: { t: { type: 'lm_eval', dataset: 'hf://datasets/demo/rows', params, ...task } },
    ...config,
  },
})
const logOf = async (id: string) =>
  (await db.query<{ message: string }>('SELECT message FROM evaluator.logs WHERE job = $1 ORDER BY id', [id]))
    .map((one) => one.message)
    .join('\n')

test('names of lm-eval tasks are types, but for those that are refused', () => {
  for (const type of ['gsm8k', 'mmlu', 'ifeval', 'arc_easy', 'hellaswag', 'winogrande', 'truthfulqa_mc2'])
    assert.equal(kindOf(type).name, 'lm-eval', type)
  for (const type of ['humaneval', 'mbpp', 'custom', 'nothing_like_it', ''])
    assert.equal(isHandled(type), false, type)
  assert.deepEqual(harnessTask('mmlu'), {
    name: 'mmlu',
    isGenerated: false,
    isScored: true,
    isUnsafe: false,
    isGroup: true,
  })
  assert.equal(harnessTask('gsm8k')?.isGenerated, true)
})

test('what could not run is refused at creation with the reason', async () => {
  const refused = async (given: object, reason: RegExp, status = 400) => {
    const { status: found, body } = await h.call('POST', '/v1/evaluation/jobs', given)
    assert.equal(found, status, JSON.stringify(body))
    assert.match(JSON.stringify(body), reason)
  }
  const chat = { api_endpoint: { url: 'http://model.example/v1/chat/completions', model_id: 'm' } }
  const choices = { ...params, output_type: 'multiple_choice', doc_to_choice: '{{c}}' }
  await refused(job({ params: choices }, {}, chat), /chat completions do not tell/)
  await refused(job({ params: { ...params, process_docs: 'x' } }), /process_docs.*is not taken/)
  await refused(job({ params: { ...params, metric_list: [{ metric: 'hub/metric' }] } }), /is not known/)
  const filter_list = [{ name: 'f', filter: [{ function: 'custom', filter_fn: 'x' }] }]
  await refused(job({ params: { ...params, filter_list } }), /has function custom/)
  await refused(job({ params: { ...params, doc_to_text: '{{ q' } }), /doc_to_text/)
  await refused(job({ params: { doc_to_text: '{{q}}' } }), /doc_to_target: is missing/)
  await refused(job({ dataset: 'hf://datasets/demo/absent' }), /not found/, 404)
  await refused(job({ type: 'no_such_task', dataset: null }), /no task of this name/)
  await refused(job({ type: 'humaneval', dataset: null }), /runs code that a model wrote/)
  await refused({ ...job(), target: { type: 'rows', rows: [{}] } }, /target of type/)
  await refused({ ...job(), config: { type: 'lm_eval' } }, /there is no task/)
})

test('without Python a job is refused', async () => {
  const other = await openMemoryDatabase()
  const bare = await startHarness(other, {
    platform: h.platform,
    env: { NEMO_LM_EVAL_PYTHON: join(folder, 'absent') },
  })
  const { status, body } = await bare.call('POST', '/v1/evaluation/jobs', job())
  assert.equal(status, 400)
  assert.match(JSON.stringify(body), /lm-eval needs Python: NEMO_LM_EVAL_PYTHON names/)
  await bare.close()
  await other.close()
})

test('a task on data of the Data Store: key at the model, none in the process, scores by filter, retries', async () => {
  let calls = 0
  h.platform.answer = ({ body }) => {
    if (++calls === 2) return Response.json({ error: 'slow down' }, { status: 429 })
    if (body.prompt === 'q3') return Response.json({ error: 'too long' }, { status: 400 })
    return body.prompt
  }
  const { job: ended, result } = await h.run(job({}, { params: { parallelism: 1 } }))
  assert.equal(ended.status, 'completed', ended.status_details.message)
  assert.match(ended.status_details.message, /1 of 6 samples failed.*too long.*1 requests were sent again/)
  assert.equal(ended.status_details.samples_processed, 6)
  const { exact_match, exact_match_stderr } = result.tasks.t.metrics
  assert.equal(exact_match.scores.exact_match.value, 2 / 6)
  assert.equal(exact_match.scores.exact_match__strict.value, 2 / 6)
  assert.equal(exact_match.scores.exact_match__loose.value, 1)
  assert.equal(exact_match.scores['t-metric_ranking-1'].value, 2 / 6)
  assert.equal(exact_match.scores['t-metric_ranking-3'].value, 1)
  assert.equal(exact_match_stderr.scores.exact_match_stderr.value, 0.25)
  assert.equal(exact_match_stderr.scores['t-metric_ranking-2'].value, 0.25)
  assert.ok(h.platform.asked.every((one) => one.authorization === 'Bearer sk-very-secret-1'))
  assert.ok(h.platform.asked.every((one) => one.url === 'http://model.example/v1/completions'))
  const [sample] = await db.query<{ record: { item: { environment: string[] } } }>(
    'SELECT record FROM evaluator.samples WHERE job = $1 AND idx = 0',
    [ended.id],
  )
  const environment = sample?.record.item.environment ?? []
  assert.ok(environment.includes('OPENAI_API_KEY'))
  assert.ok(!environment.some((name) => /NEMO|SECRET/.test(name)), environment.join())
  const log = await logOf(ended.id)
  assert.match(log, /6 requests to the model/)
  assert.ok(!log.includes('sk-very-secret-1'))
  // Both go once the job has ended.
  const workdir = join(h.context.dataDir, 'jobs', ended.id)
  for (const end = Date.now() + 5000; existsSync(workdir) && Date.now() < end; ) await sleep(20)
  assert.equal(existsSync(workdir), false)
  const kept = await db.query('SELECT 1 FROM evaluator.kept WHERE job = $1', [ended.id])
  assert.equal(kept.length, 0)
  const files = await h.download(`/v1/evaluation/jobs/${ended.id}/download-results`)
  assert.ok(files.includes('lm-eval/t/task.yaml'))
})

test('limit_samples goes to lm-eval', async () => {
  const { job: ended } = await h.run(job({}, { params: { limit_samples: 2 } }))
  assert.equal(ended.status_details.samples_processed, 2)
  assert.equal(ended.status_details.progress, 100)
  assert.equal(h.platform.asked.length, 2)
})

test('an endpoint that refuses ends the job with its words', async () => {
  h.platform.answer = () => Response.json({ error: 'bad key sk-very-secret-1' }, { status: 401 })
  const { job: ended } = await h.run(job())
  assert.equal(ended.status, 'failed')
  assert.match(ended.status_details.message, /lm-eval ended with 1: .*HTTPError: 401.*bad key \*+/)
})

test('a cancel kills the process within five seconds', async () => {
  h.platform.answer = () => new Promise(() => undefined)
  const id = await h.createJob(job())
  while (h.platform.asked.length === 0) await sleep(20)
  const start = Date.now()
  await h.call('POST', `/v1/evaluation/jobs/${id}/cancel`)
  await h.waitFor(id, 'cancelled')
  assert.ok(Date.now() - start < 5000)
})

test('a job that was stopped asks only for what it has not, here and without its work folder', async () => {
  for (const isElsewhere of [false, true]) {
    h.platform.asked.length = 0
    h.platform.answer = ({ body }) => (body.prompt === 'q4' ? new Promise(() => undefined) : body.prompt)
    const id = await h.createJob(job({}, { params: { parallelism: 1 } }))
    while (!h.platform.asked.some((one) => one.body.prompt === 'q4')) await sleep(20)
    // Answers are kept every second.
    await sleep(1300)
    await h.service.stop()
    if (isElsewhere) await rm(join(h.context.dataDir, 'jobs', id), { recursive: true })
    h.platform.asked.length = 0
    h.platform.answer = ({ body }) => body.prompt
    await h.restart()
    const ended = await h.waitFor(id, 'completed', 'failed')
    assert.equal(ended.status, 'completed', ended.status_details.message)
    assert.deepEqual(
      h.platform.asked.map((one) => one.body.prompt),
      ['q4', 'q5', 'q6'],
    )
    const { body } = await h.call('GET', `/v1/evaluation/jobs/${id}/results`)
    assert.equal(body.tasks.t.metrics.exact_match.scores.exact_match.value, 0.5)
    assert.match(await logOf(id), /3 of them answered before this start/)
  }
})

test('the list of tasks belongs to the pinned release', async () => {
  const requirements = await readFile(new URL('../../../lm-eval/requirements.in', import.meta.url), 'utf8')
  assert.match(requirements, /^lm-eval\[.*\]==0\.4\.13$/m)
})
