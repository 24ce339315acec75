// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { UpstreamError } from '@open-nemo/contract'
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import type { Model } from '@open-nemo/contract/entity-store/schemas.ts'
import { silentLogger } from '@open-nemo/runtime'
import type { Embedder } from '../embedding/embedders.ts'
import { tinyBert } from '../embedding/testing.ts'
import type { BaseModel, BaseModels, CatalogueModel } from '../models/base-models.ts'
import { createWholeModels } from './whole-models.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../gguf/fixture/${name}`, import.meta.url))
const PARENT = { id: 'acme/base', kind: 'gguf' } as CatalogueModel
const EMBEDDER = { id: 'acme/embedder', kind: 'hf', task: 'embedding' } as CatalogueModel

let dir: string
const dirs: string[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'wholes-'))
  dirs.push(dir)
})
after(() => Promise.all(dirs.map((each) => rm(each, { recursive: true }))))

function world() {
  const files = new Map<string, Buffer>()
  const calls: string[] = []
  const made: { id: string; template: string | undefined; stopped: boolean }[] = []
  let commit = 'c1'
  const store = {
    resolveRevision: async () => commit,
    download: async ({ path }: { path: string }) => {
      calls.push(path)
      const body = files.get(path)
      if (!body) throw new UpstreamError({ status: 404, url: path, body: 'no', method: 'GET' })
      return { stream: new Blob([new Uint8Array(body)]).stream(), size: body.length }
    },
  } as unknown as DataStoreClient
  const bases = {
    parent: (name: string) => (name === PARENT.id ? PARENT : undefined),
    weightsOf: async () => ({ path: fixture('tied-base.gguf'), sha256: 'base' }),
    tuned: (id: string, _parent: CatalogueModel, { template }: { template: string | undefined }) => {
      const mark = { id, template, stopped: false }
      made.push(mark)
      return {
        engine: {
          stop: async () => {
            mark.stopped = true
          },
        },
      } as unknown as BaseModel
    },
  } as unknown as BaseModels
  const embedders = {
    parent: (name: string) => (name === EMBEDDER.id ? EMBEDDER : undefined),
    weightsOf: async () => ({ path: dir, sha256: 'folder', isFolder: true as const }),
    tuned: (id: string) => {
      made.push({ id, template: undefined, stopped: false })
      return { engine: { stop: async () => undefined } } as unknown as Embedder
    },
  }
  const signal = new AbortController().signal
  const open = () => createWholeModels({ store, bases, embedders, dir, log: silentLogger(), signal })
  return {
    files,
    calls,
    made,
    open,
    push: (to: string) => {
      commit = to
    },
  }
}

function entity(change: Record<string, unknown> = {}): Model {
  return {
    namespace: 'demo',
    name: 'whole@v1',
    created_at: '2026-01-01T00:00:00',
    updated_at: 'one',
    base_model: 'acme/base@1.0',
    peft: null,
    api_endpoint: null,
    artifact: { status: 'upload_completed', files_url: 'hf://models/demo/whole@v1' },
    ...change,
  } as unknown as Model
}

async function* stream(...models: Model[]) {
  yield* models
}

test('a whole model is taken up, converted once, kept over a restart, and let go', async () => {
  const on = world()
  on.files.set('model.safetensors', await readFile(fixture('tied.safetensors')))
  on.files.set('chat_template.jinja', Buffer.from('{{ own }}'))
  const wholes = on.open()
  await wholes.update(stream(entity()))
  const [entry] = wholes.entries()
  assert.deepEqual([entry?.id, entry?.whole.is, entry?.parent], ['demo/whole@v1', 'ready', PARENT])
  assert.deepEqual(on.made, [{ id: 'demo/whole@v1', template: '{{ own }}', stopped: false }])
  const [key] = wholes.keys()
  assert.deepEqual((await readdir(dir)).sort(), [`${key}.gguf`, `${key}.json`])
  await wholes.update(stream(entity()))
  await wholes.update(stream(entity({ updated_at: 'two' })))
  assert.equal(on.made.length, 1)
  const again = on.open()
  await again.update(stream(entity()))
  assert.deepEqual(again.keys(), [key])
  assert.equal(on.made[1]?.template, '{{ own }}')
  assert.deepEqual(on.calls, ['chat_template.jinja', 'model.safetensors'])
  on.push('c2')
  await again.update(stream(entity({ updated_at: 'three' })))
  assert.notDeepEqual(again.keys(), [key])
  assert.equal(on.made[1]?.stopped, true)
  await again.update(stream())
  assert.deepEqual([again.entries(), on.made[2]?.stopped], [[], true])
})

test('adapters, upstreams, the catalogue and models of unknown bases are no whole models', async () => {
  const wholes = world().open()
  const others = [
    { peft: { finetuning_type: 'lora' } },
    { api_endpoint: { url: 'http://x', model_id: 'x' } },
    { artifact: null },
    { artifact: { status: 'created', files_url: 'hf://models/a/b' } },
    { base_model: 'other/model' },
    { namespace: 'acme', name: 'base' },
  ]
  await wholes.update(stream(...others.map(entity)))
  assert.deepEqual(wholes.entries(), [])
})

test('a model tuned from one that embeds becomes an embedder of its own, when its weights fit', async () => {
  const on = world()
  const wholes = on.open()
  const { files, weights } = tinyBert()
  for (const [name, body] of Object.entries(files)) await writeFile(join(dir, name), body)
  const model = (updated_at: string) => entity({ base_model: 'acme/embedder@1.0', updated_at })
  on.files.set('model.safetensors', Buffer.from(weights({ without: 'embeddings.LayerNorm.bias' })))
  await wholes.update(stream(model('one')))
  const [failed] = wholes.entries()
  assert.ok(failed?.whole.is === 'failed')
  assert.match(failed.whole.reason, /it has no embeddings\.LayerNorm\.bias/)
  on.files.set('model.safetensors', Buffer.from(weights()))
  await wholes.update(stream(model('two')))
  const [entry] = wholes.entries()
  assert.ok(entry?.whole.is === 'ready')
  assert.deepEqual([entry.whole.served.kind, entry.parent, on.made.length], ['embedding', EMBEDDER, 1])
})

test('what can pass is tried again, what cannot is told', async () => {
  const on = world()
  const wholes = on.open()
  await wholes.update(stream(entity()))
  const failed = () => {
    const [entry] = wholes.entries()
    assert.ok(entry?.whole.is === 'failed')
    return entry.whole
  }
  assert.equal(failed().final, false)
  on.files.set('model.safetensors', Buffer.from('no safetensors file at all'))
  await wholes.update(stream(entity({ updated_at: 'two' })))
  assert.equal(failed().final, true)
  assert.match(failed().reason, /its header/)
  assert.deepEqual(await readdir(dir), [])
  on.files.set('model.safetensors', await readFile(fixture('untied.safetensors')))
  await wholes.update(stream(entity({ updated_at: 'three' })))
  // The output layer is dropped where the base has none of its own, so this fits.
  assert.equal(wholes.entries()[0]?.whole.is, 'ready')
})
