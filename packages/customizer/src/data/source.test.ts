// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { createFakePlatform, newRepo, URLS } from '../testing/fake-platform.ts'
import { clientOf, listFiles, resolveDataset, selectFiles } from './source.ts'

const platform = createFakePlatform()
platform.repos.set('dataset/demo/rows', newRepo({ 'training/a.jsonl': 'x', 'sub/training/b.jsonl': 'x' }))
platform.repos.set('dataset/demo/empty', newRepo({ 'testing/a.jsonl': 'x' }))
platform.entities.set('datasets/demo/named', { files_url: 'hf://datasets/demo/rows/sub' })
platform.entities.set('datasets/demo/odd', { files_url: 's3://bucket/rows' })
platform.entities.set('datasets/demo/far', {
  files_url: 'hf://datasets/o/r',
  hf_endpoint: 'https://hub.example',
})
const ctx = {
  entities: createEntityStoreClient({ baseUrl: URLS['entity-store'], fetch: platform.fetch }),
  fetch: platform.fetch,
  dataStoreUrl: URLS['data-store'],
}
const entry = (path: string) => ({ type: 'file' as const, oid: 'x', size: 1, path })

test('a dataset is found by name, by URL and as an object', async () => {
  const at = async (dataset: Parameters<typeof resolveDataset>[1]) => {
    const { label, id, path } = await resolveDataset(ctx, dataset)
    return [label, id, path]
  }
  assert.deepEqual(await at('demo/named'), ['demo/named', 'demo/rows', 'sub'])
  assert.deepEqual(await at({ namespace: 'demo', name: 'named' }), ['demo/named', 'demo/rows', 'sub'])
  assert.deepEqual(await at('hf://datasets/demo/rows/x.jsonl'), [
    'hf://datasets/demo/rows/x.jsonl',
    'demo/rows',
    'x.jsonl',
  ])
  assert.deepEqual(await at({ files_url: 'nds:demo/rows' }), ['nds:demo/rows', 'demo/rows', ''])
  assert.deepEqual(await at('unregistered'), ['default/unregistered', 'default/unregistered', ''])
})

test('what cannot be a dataset is refused by name', async () => {
  await assert.rejects(resolveDataset(ctx, 'demo/odd'), { code: 'DATASET_UNREADABLE' })
  await assert.rejects(resolveDataset(ctx, {}), { code: 'DATASET_NOT_FOUND' })
  const list = async (name: string) => listFiles(ctx, await resolveDataset(ctx, name))
  await assert.rejects(list('demo/absent'), { code: 'DATASET_NOT_FOUND' })
  await assert.rejects(list('demo/empty'), { code: 'DATASET_EMPTY' })
})

test('the folders of a repository say which files train and which validate', () => {
  const files = [
    'training/b.jsonl',
    'training/a.jsonl',
    'validation/v.jsonl',
    'testing/t.jsonl',
    'training/x.txt',
  ]
  const paths = (path: string, all = files) => {
    const found = selectFiles(all.map(entry), path)
    return [found.training.map((f) => f.path), found.validation.map((f) => f.path)]
  }
  assert.deepEqual(paths(''), [['training/a.jsonl', 'training/b.jsonl'], ['validation/v.jsonl']])
  assert.deepEqual(paths('training/b.jsonl'), [['training/b.jsonl'], []])
  assert.deepEqual(paths('training'), [['training/a.jsonl', 'training/b.jsonl'], []])
  assert.deepEqual(paths('', ['rows.jsonl']), [[], []])
  assert.deepEqual(paths('', ['training/../../etc/x.jsonl']), [[], []])
})

test('a hub elsewhere is asked without our path prefix', async () => {
  const asked: string[] = []
  const fetch: typeof globalThis.fetch = async (input) => {
    asked.push(String(input))
    return Response.json({ sha: 'abc' })
  }
  const source = await resolveDataset(ctx, 'demo/far')
  await clientOf({ ...ctx, fetch }, source).resolveRevision({ type: 'dataset', id: source.id })
  assert.deepEqual(asked, ['https://hub.example/api/datasets/o/r/revision/main?expand=sha'])
})
