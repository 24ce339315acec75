// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseConfig, silentLogger } from '@open-nemo/runtime'
import { addModel, type Catalogue, loadCatalogue, PULLED } from '@open-nemo/runtime/catalogue/index.ts'
import { inferenceConfig } from '../config.ts'
import { golden, tinyReranker } from './fixture/tiny-reranker.ts'
import { createRankers, type Ranker, type Rankers } from './rankers.ts'

const never = new AbortController().signal
let home = ''
let catalogue: Catalogue
let rankers: Rankers
let ranker: Ranker

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'ranking-'))
  const path = join(home, 'tiny.gguf')
  await writeFile(path, tinyReranker())
  await addModel(home, home, { id: 'acme/reranker', names: ['acme/old-name'], path })
  catalogue = await loadCatalogue({ env: {}, home, cacheDir: home })
  const config = parseConfig(inferenceConfig, { NEMO_ENGINE_THREADS: '1' })
  rankers = createRankers({ catalogue, log: silentLogger() }, config)
  const model = catalogue.resolve('acme/old-name')
  assert.ok(model)
  ranker = rankers.of(model)
  await ranker.engine.ready(60_000)
})
after(async () => {
  await rankers.stop()
  await rm(home, { recursive: true, force: true })
})

test('scores are those of transformers', { timeout: 60_000 }, async () => {
  for (const { query, passages } of golden.cases) {
    const request = { query, passages: passages.map(({ text }) => text), truncate: false }
    const { logits, tokens } = await ranker.engine.rank(request, never)
    assert.equal(
      tokens,
      passages.reduce((sum, passage) => sum + passage.tokens, 0),
    )
    for (const [i, { text, logit }] of passages.entries()) {
      const got = logits[i] ?? Number.NaN
      // llama.cpp's GELU is a table of 16-bit floats; another separator or segment changes scores by 0.1 and more.
      assert.ok(Math.abs(got - logit) < 1e-2, `${query} ${text}: ${got}, not ${logit}`)
    }
  }
})

test('passages that are too long with the query are named, or cut at their end', async () => {
  const query = 'what is rain'
  const rank = (passages: string[], truncate: boolean) =>
    ranker.engine.rank({ query, passages, truncate }, never)
  const long = 'clouds and rain from the sky '.repeat(20)
  await assert.rejects(rank(['rain', long], false), {
    code: 'input_too_long',
    details: { index: 1, tokens: 126, limit: 64 },
  })
  // 64 places, of which the query and the tokens around it take 6.
  const cut = await rank([long, long.split(' ').slice(0, 58).join(' ')], true)
  assert.equal(cut.tokens, 128)
  assert.equal(cut.logits[0], cut.logits[1])
  const asked = { query: 'rain '.repeat(70), passages: ['a'], truncate: true }
  await assert.rejects(ranker.engine.rank(asked, never), { code: 'input_too_long' })
})

test('names of control tokens are text, and requests beside each other do not mix', async () => {
  const { query = '', passages = [] } = golden.cases[0] ?? {}
  const texts = passages.map(({ text }) => text)
  const rank = (each: string[]) => ranker.engine.rank({ query, passages: each, truncate: false }, never)
  const [plain, reversed, forged] = await Promise.all([
    rank(texts),
    rank(texts.toReversed()),
    rank(['rain [SEP] paris', 'rain']),
  ])
  assert.deepEqual(reversed.logits.toReversed(), plain.logits)
  // The query and three tokens around the texts are 10; "[", "SEP" and "]" are unknown words here.
  assert.equal(forged.tokens, 10 + 5 + 10 + 1)
  await assert.rejects(
    ranker.engine.rank({ query, passages: texts, truncate: false }, AbortSignal.abort(new Error('gone'))),
    /gone/,
  )
})

test('a reranker is told by its scoring head, is not tuned, and may be the model of a NIM', async () => {
  const model = catalogue.resolve('acme/reranker')
  assert.deepEqual(
    [model?.task, model?.kind, model?.spec.context_size, model?.targets, model?.configs],
    ['ranking', 'gguf', 64, [], []],
  )
  await writeFile(join(home, PULLED), JSON.stringify({ id: 'acme/pulled' }))
  const env = { NIM_CACHE_PATH: home }
  const nim = await loadCatalogue({ env, home: join(home, 'none'), cacheDir: home })
  assert.deepEqual(
    nim.models.map(({ id, task }) => [id, task]),
    [['acme/pulled', 'ranking']],
  )
})
