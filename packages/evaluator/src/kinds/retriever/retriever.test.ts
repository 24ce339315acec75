// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import type { ModelRequest } from '../../testing/fake-platform.ts'
import { type Harness, jsonl, startHarness } from '../../testing/harness.ts'

const WORDS = ['cat', 'dog', 'bird', 'sea', 'sky', 'moon']
const CORPUS = [
  { _id: 'p1', title: 'Cats', text: 'a cat and a dog' },
  { _id: 'p2', title: '', text: 'the bird in the sky' },
  { _id: 'p3', title: '', text: 'the moon over the sea' },
  { _id: 'p4', title: '', text: 'sky, moon, sky' },
]
const QUERIES = [
  { _id: 'q1', text: 'where is the bird in the sky', metadata: {} },
  { _id: 'q2', text: 'moon', metadata: {} },
  { _id: 'unjudged', text: 'dog' },
]
const FILES = {
  'corpus.jsonl': jsonl(CORPUS),
  'queries.jsonl': jsonl(QUERIES),
  'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\tp2\t1\nq2\tp3\t1\nq2\tp4\t2\n',
}
const embedder = {
  api_endpoint: { url: 'http://model.example/v1/embeddings', model_id: 'e', api_key: 'sk-secret-e' },
}
const pipeline = { query_embedding_model: embedder, index_embedding_model: embedder, top_k: 2 }
const metrics = { r: { type: 'recall_1' }, n: { type: 'ndcg_cut_2' } }

const vectorOf = (text: string) => WORDS.map((word) => text.toLowerCase().split(word).length - 1 + 0.01)

/** Counts words as vectors; ranks by length. */
function answer({ url, body }: ModelRequest): Response {
  if (url.endsWith('/embeddings')) {
    const data = body.input.map((text: string, index: number) => ({ index, embedding: vectorOf(text) }))
    return Response.json({ object: 'list', data })
  }
  assert.ok(url.endsWith('/ranking'))
  const rankings = body.passages.map(({ text }: { text: string }, index: number) => ({
    index,
    logit: -text.length,
  }))
  return Response.json({ rankings })
}

describe('retriever evaluations', () => {
  let db: Database
  let harness: Harness
  let dir: string
  before(async () => {
    db = await openMemoryDatabase()
    dir = await mkdtemp(join(tmpdir(), 'nemo-beir-'))
    harness = await startHarness(db, { env: { NEMO_EVALUATOR_DATASETS: join(dir, 'sets') } })
    harness.platform.answer = answer
    harness.platform.repos.set('team/beir', FILES)
    await mkdir(join(dir, 'sets', 'small', 'qrels'), { recursive: true })
    for (const [path, content] of Object.entries(FILES))
      await writeFile(join(dir, 'sets', 'small', path), content)
    await mkdir(join(dir, 'outside'))
    await symlink(join(dir, 'outside'), join(dir, 'sets', 'link'))
  })
  after(async () => {
    await harness.close()
    await db.close()
    await rm(dir, { recursive: true, force: true })
  })

  const job = (files_url: string, more = {}, task = {}) => ({
    target: { type: 'retriever', retriever: { pipeline: { ...pipeline, ...more } } },
    config: {
      type: 'retriever',
      tasks: { beir: { type: 'beir', dataset: { files_url }, metrics, ...task } },
    },
  })

  for (const url of ['hf://datasets/team/beir', 'file://small/']) {
    it(`measures a pipeline on ${url}, under both spellings of the names`, async () => {
      const { result } = await harness.run(job(url))
      const scores = result.tasks.beir.metrics
      assert.equal(scores['retriever.recall_1'].scores.recall_1.value, 0.75)
      assert.equal(scores['retriever.recall_1'].scores.recall_1.stats.count, 2)
      const ndcg = scores['retriever.ndcg_cut_2'].scores.ndcg_cut_2.value
      // q1 finds p2 first; q2 finds p3 (gain 1) and p4 (gain 2) in the order of their cosines.
      assert.ok(ndcg > 0.9 && ndcg <= 1, String(ndcg))
      assert.equal(result.groups.evaluation.metrics.evaluation.scores.ndcg_cut_2.value, ndcg)
    })
  }

  it('ranks again with a reranker', async () => {
    const { result } = await harness.run(job('file://small/', { reranker_model: embedder }))
    // The shorter passage comes first: p4 before p2 for q1, which has only p2, and before p3 for q2, as it should.
    const ndcg = result.tasks.beir.metrics['retriever.ndcg_cut_2'].scores.ndcg_cut_2.value
    assert.ok(Math.abs(ndcg - (1 / Math.log2(3) + 1) / 2) < 1e-9, String(ndcg))
  })

  it('refuses at creation what cannot run', async () => {
    const create = (body: unknown) => harness.call('POST', '/v1/evaluation/jobs', body)
    const cases: [unknown, RegExp][] = [
      [job('file://../outside/'), /write file:\/\/<name>/],
      [job('file://link/'), /not found/],
      [job('file://missing/'), /not found/],
      [job('hf://datasets/team/missing'), /not found/],
      [job('file://small/', {}, { metrics: { x: { type: 'recall' } } }), /recall.*which is not known/],
      [job('file://small/', {}, { type: 'squad' }), /squad/],
      [{ ...job('file://small/'), target: { type: 'model', model: embedder } }, /does not fit/],
    ]
    for (const [body, message] of cases) {
      const { status, body: answer } = await create(body)
      assert.ok(status >= 400 && status < 500, JSON.stringify(answer))
      assert.match(JSON.stringify(answer), message)
    }
  })
})
