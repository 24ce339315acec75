// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DiskSpaceError } from '../../packages/runtime/src/cache/index.ts'
import { ensureTrainerEnvironment, PythonError } from '../../packages/runtime/src/python/index.ts'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { startTestPlatform, type TestPlatform } from '../conformance/platform.ts'
import { dot, retrievalSet, scoresOf } from './retrieval-set.ts'

const BASE = 'sentence-transformers/all-MiniLM-L6-v2'
const SPACE = 'facility'
const TUNED = { all_weights: `${SPACE}/embedder@whole`, lora_merged: `${SPACE}/embedder@merged` }
const MINUTES = 60_000
/** Reads texts as JSON and writes the vectors that transformers makes of a folder's model. */
const VECTORS = `
import json, sys, torch
from transformers import AutoModel, AutoTokenizer
model, tokenizer = AutoModel.from_pretrained(sys.argv[1]).eval(), AutoTokenizer.from_pretrained(sys.argv[1])
out = []
for text in json.loads(sys.argv[2]):
    with torch.no_grad():
        mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
    out.append((mean / mean.norm()).tolist())
print("VECTORS " + json.dumps(out))
`

let python = ''
async function excuse(): Promise<string | false> {
  if (process.env.NEMO_SLOW !== '1') return 'NEMO_SLOW=1 runs the slow tests'
  try {
    python = (await ensureTrainerEnvironment(cacheDir())).python
    return false
  } catch (err) {
    if (err instanceof PythonError || err instanceof DiskSpaceError) return err.message
    throw err
  }
}

const skip = await excuse()
const set = retrievalSet()
let platform: TestPlatform
let dir: string
before(async () => {
  if (skip) return
  dir = await mkdtemp(join(tmpdir(), 'nemo-embedding-'))
  platform = await startTestPlatform({ NEMO_ENGINE_THREADS: '1' })
  await post('NEMO_URL', '/v1/namespaces', { id: SPACE })
  await upload('jargon', {
    'training/rows.jsonl': jsonl(set.training),
    'validation/rows.jsonl': jsonl(set.validation),
  })
})
after(async () => {
  if (skip) return
  await platform.stop()
  await rm(dir, { recursive: true, force: true })
})

// biome-ignore lint/suspicious/noExplicitAny: answers are read field by field
type Body = any
type Host = 'NEMO_URL' | 'DATA_STORE_URL' | 'NIM_URL'

const jsonl = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

async function call(host: Host, path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(`${platform.env[host]}${path}`, init)
  if (response.ok) return response
  throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
}
const get = async (host: Host, path: string): Promise<Body> => (await call(host, path)).json()
async function post(host: Host, path: string, body: unknown): Promise<Body> {
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  return (await call(host, path, init)).json()
}

/** A dataset of these files, as hub clients commit them, with its entity. */
async function upload(name: string, files: Record<string, string>): Promise<void> {
  await post('DATA_STORE_URL', '/v1/hf/api/repos/create', { name, organization: SPACE, type: 'dataset' })
  const operations = Object.entries(files).map(([path, text]) => ({
    key: 'file',
    value: { path, content: Buffer.from(text).toString('base64'), encoding: 'base64' },
  }))
  await call('DATA_STORE_URL', `/v1/hf/api/datasets/${SPACE}/${name}/commit/main`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: jsonl([{ key: 'header', value: { summary: 'rows' } }, ...operations]),
  })
  const entity = { name, namespace: SPACE, files_url: `hf://datasets/${SPACE}/${name}` }
  await post('NEMO_URL', '/v1/datasets', entity)
}

async function embed(model: string, input: string[], input_type: string): Promise<number[][]> {
  const until = Date.now() + 5 * MINUTES
  for (;;) {
    try {
      const { data } = await post('NIM_URL', '/v1/embeddings', { model, input, input_type })
      return data.map((one: Body) => one.embedding)
    } catch (err) {
      // The engine is still loading.
      if (!/answered 503/.test(String(err)) || Date.now() > until) throw err
      await sleep(1000)
    }
  }
}

async function scores(model: string): Promise<{ recall: number; ndcg: number }> {
  const queries = await embed(
    model,
    set.heldOut.map(({ query }) => query),
    'query',
  )
  const documents = await embed(model, set.documents, 'passage')
  return scoresOf(
    queries,
    documents,
    set.heldOut.map(({ document }) => document),
  )
}

async function until(path: string, ends: string[], minutes: number): Promise<Body> {
  for (const end = Date.now() + minutes * MINUTES; ; await sleep(500)) {
    const found = await get('NEMO_URL', path)
    if (ends.includes(found.status)) return found
    assert.ok(Date.now() < end, JSON.stringify(found))
  }
}

async function tune(finetuning_type: keyof typeof TUNED, more: Record<string, unknown>): Promise<Body> {
  const job = await post('NEMO_URL', '/v1/customization/jobs', {
    config: `${BASE}@v1.0.0+cpu`,
    dataset: { name: 'jargon', namespace: SPACE },
    output_model: TUNED[finetuning_type],
    dataset_parameters: { num_hard_negatives: 2 },
    hyperparameters: { finetuning_type, batch_size: 32, log_every_n_steps: 5, ...more },
  })
  const ended = await until(`/v1/customization/jobs/${job.id}`, ['completed', 'failed', 'cancelled'], 15)
  assert.equal(ended.status, 'completed', JSON.stringify(ended.status_details))
  return ended
}

const CASES = {
  all_weights: { epochs: 6, learning_rate: 1e-4 },
  lora_merged: { epochs: 10, learning_rate: 2e-3, lora: { adapter_dim: 16, target_modules: ['all-linear'] } },
}
for (const [name, hyperparameters] of Object.entries(CASES)) {
  const kind = name as keyof typeof TUNED
  test(`an embedding model learns a jargon: ${kind}`, { skip, timeout: 20 * MINUTES }, async (t) => {
    const before = await scores(BASE)
    const job = await tune(kind, hyperparameters)
    const { metrics } = job.status_details.metrics
    assert.ok(metrics.val_loss.at(-1).value < metrics.val_loss[0].value)
    assert.ok(metrics.val_accuracy.at(-1).value >= metrics.val_accuracy[0].value)
    const served = await get('NIM_URL', '/v1/models')
    const model = served.data.find((one: Body) => one.id === TUNED[kind])
    assert.deepEqual([model?.parent, model?.max_model_len], [BASE, 512])
    const entity = await get('NEMO_URL', `/v1/models/${TUNED[kind]}`)
    assert.deepEqual([entity.base_model, entity.artifact.status], [BASE, 'upload_completed'])
    const after = await scores(TUNED[kind])
    t.diagnostic(`recall@1 ${before.recall} -> ${after.recall}, nDCG@10 ${before.ndcg} -> ${after.ndcg}`)
    assert.ok(
      after.recall >= before.recall + 0.5 && after.ndcg >= before.ndcg + 0.4,
      JSON.stringify({ before, after }),
    )
    // Whoever asks for the base still gets the base.
    assert.deepEqual(await scores(BASE), before)
    await agrees(TUNED[kind])
  })
}

/** The engine's vectors of a tuned model are those of transformers on the files that the job left. */
async function agrees(model: string): Promise<void> {
  const [repo = '', revision = ''] = model.split('@')
  const folder = join(dir, revision)
  const { siblings } = await get('DATA_STORE_URL', `/v1/hf/api/models/${repo}/revision/${revision}`)
  for (const { rfilename } of siblings) {
    const file = await call('DATA_STORE_URL', `/v1/hf/${repo}/resolve/${revision}/${rfilename}`)
    await mkdir(dirname(join(folder, rfilename)), { recursive: true })
    await writeFile(join(folder, rfilename), Buffer.from(await file.arrayBuffer()))
  }
  const texts = ['How do I florp a wizzle?', set.documents[7] ?? '', 'Größe, naïve café; 42 % of it']
  const { output } = await runCommand(python, ['-c', VECTORS, folder, JSON.stringify(texts)])
  const theirs: number[][] = JSON.parse(/VECTORS (.*)/.exec(output)?.[1] ?? output)
  for (const [i, vector] of (await embed(model, texts, 'query')).entries()) {
    assert.ok(dot(vector, theirs[i] ?? []) >= 0.999, `${texts[i]}: ${dot(vector, theirs[i] ?? [])}`)
  }
}

test('an evaluation of a retriever names the tuned model', { skip, timeout: 10 * MINUTES }, async () => {
  const id = (document: number) => `d${document}`
  const judged = set.heldOut.map(({ document }, i) => `q${i}\t${id(document)}\t1\n`)
  await upload('beir', {
    'corpus.jsonl': jsonl(set.documents.map((text, i) => ({ _id: id(i), title: '', text }))),
    'queries.jsonl': jsonl(set.heldOut.map(({ query }, i) => ({ _id: `q${i}`, text: query }))),
    'qrels/test.tsv': `query-id\tcorpus-id\tscore\n${judged.join('')}`,
  })
  const found: number[] = []
  for (const model of [BASE, TUNED.all_weights]) {
    const pipeline = { query_embedding_model: model, index_embedding_model: model, top_k: 10 }
    const dataset = { files_url: `hf://datasets/${SPACE}/beir` }
    const task = { type: 'beir', dataset, metrics: { r: { type: 'recall_1' } } }
    const job = await post('NEMO_URL', '/v1/evaluation/jobs', {
      target: { type: 'retriever', retriever: { pipeline } },
      config: { type: 'retriever', tasks: { jargon: task } },
    })
    const ended = await until(`/v1/evaluation/jobs/${job.id}`, ['completed', 'failed', 'cancelled'], 5)
    assert.equal(ended.status, 'completed', JSON.stringify(ended))
    const { tasks } = await get('NEMO_URL', `/v1/evaluation/jobs/${job.id}/results`)
    found.push(tasks.jargon.metrics['retriever.recall_1'].scores.recall_1.value)
  }
  const [before = 1, after = 0] = found
  assert.ok(after >= before + 0.5, JSON.stringify(found))
})
