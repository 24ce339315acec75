// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { INTERNAL_TOKEN_HEADER } from '@open-nemo/contract/entity-store/schemas.ts'
import { catalogueOf, onEachDatabase, startService, TOKEN } from './testing.ts'

onEachDatabase(({ call, names, current }) => {
  test('a namespace is created, read, changed and deleted', async () => {
    const made = await call('POST', '/v1/namespaces', { id: 'crew' })
    assert.equal(made.status, 200)
    assert.match(made.body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
    assert.deepEqual(made.body, {
      id: 'crew',
      created_at: made.body.created_at,
      updated_at: made.body.created_at,
      description: null,
      project: null,
      custom_fields: {},
      ownership: null,
    })
    assert.deepEqual((await call('GET', '/v1/namespaces/crew')).body, made.body)

    const changed = await call('PATCH', '/v1/namespaces/crew', {
      description: 'ours',
      project: '',
      namespace: 'x',
    })
    assert.equal(changed.body.description, 'ours')
    assert.ok(changed.body.updated_at > made.body.updated_at)
    assert.equal(changed.body.namespace, undefined)
    assert.equal(changed.body.created_at, made.body.created_at)

    const gone = await call('DELETE', '/v1/namespaces/crew')
    assert.equal(gone.status, 200)
    assert.equal(gone.body.id, 'crew')
    assert.equal((await call('GET', '/v1/namespaces/crew')).status, 404)
    assert.equal((await call('DELETE', '/v1/namespaces/crew')).status, 404)
  })

  test('a second creation is a 409 that the SDK does not retry', async () => {
    await call('POST', '/v1/namespaces', { id: 'twice' })
    const again = await call('POST', '/v1/namespaces', { id: 'twice' })
    assert.equal(again.status, 409)
    assert.equal(again.headers.get('x-should-retry'), 'false')
    assert.match(again.body.detail, /namespace twice already exists/)
    assert.equal(again.body.code, 'NAMESPACE_EXISTS')
  })

  test('of many concurrent creators exactly one wins, and the count says one', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        call('POST', '/v1/models', { namespace: 'race', name: 'm', project: `${i}` }),
      ),
    )
    assert.equal(results.filter((r) => r.status === 200).length, 1)
    assert.equal(results.filter((r) => r.status === 409).length, 19)
    const page = await call('GET', '/v1/models?filter[namespace]=race&page_size=1')
    assert.equal(page.body.pagination.total_results, 1)
  })

  test('a dataset has the documented fields, an id and the default namespace', async () => {
    const files_url = 'hf://datasets/default/d1'
    const { body } = await call('POST', '/v1/datasets', { name: 'd1', files_url, project: 'free text' })
    assert.match(body.id, /^dataset-[1-9A-HJ-NP-Za-km-z]{21,22}$/)
    assert.deepEqual(
      { ...body, id: '', created_at: '', updated_at: '' },
      {
        id: '',
        created_at: '',
        updated_at: '',
        name: 'd1',
        namespace: 'default',
        files_url,
        project: 'free text',
        description: null,
        custom_fields: {},
        format: null,
        split: null,
        limit: null,
        hf_endpoint: null,
      },
    )
    const unnamed = await call('POST', '/v1/datasets', { files_url })
    assert.equal(unnamed.body.name, unnamed.body.id)
    const missing = await call('POST', '/v1/datasets', { name: 'd2' })
    assert.equal(missing.status, 422)
    assert.deepEqual(missing.body.detail[0], {
      loc: ['body', 'files_url'],
      msg: 'Field required',
      type: 'missing',
    })
  })

  test('names may hold / and @ and +, in every operation', async () => {
    const name = 'meta/llama-3.2-1b@v1.0.0+A100'
    const made = await call('POST', '/v1/models', { namespace: 'slash', name })
    assert.equal(made.status, 200)
    for (const path of [`/v1/models/slash/${name}`, `/v1/models/slash/${encodeURIComponent(name)}`]) {
      assert.equal((await call('GET', path)).body.id, made.body.id, path)
    }
    assert.equal(
      (await call('PATCH', `/v1/models/slash/${name}`, { description: 'x' })).body.description,
      'x',
    )
    assert.equal((await call('DELETE', `/v1/models/slash/${name}`)).body.id, made.body.id)
  })

  test('a tuned model keeps base_model, artifact, peft and spec, and unknown fields', async () => {
    const tuned = {
      namespace: 'tuned',
      name: 'a@v1',
      base_model: 'meta/llama-3.2-1b-instruct',
      artifact: {
        files_url: 'hf://tuned/a@v1',
        status: 'upload_completed',
        precision: 'bf16',
        gpu_arch: 'cpu',
      },
      peft: { finetuning_type: 'lora' },
      spec: { num_parameters: 134515008, context_size: 4096, num_virtual_tokens: 0, is_chat: true },
      custom_property: { item: 'adapter' },
    }
    await call('POST', '/v1/models', tuned)
    const { body } = await call('GET', '/v1/models/tuned/a@v1')
    assert.deepEqual({ ...body, ...tuned }, body)
    assert.match(body.id, /^model-/)
    assert.equal(body.schema_version, '1.0')
  })

  test('PATCH keeps the old value for absent, null and empty fields and replaces the rest whole', async () => {
    await call('POST', '/v1/datasets', {
      namespace: 'patch',
      name: 'd',
      files_url: 'hf://datasets/patch/d',
      description: 'old',
      custom_fields: { a: 1 },
      limit: 5,
    })
    const patch = (body: unknown) => call('PATCH', '/v1/datasets/patch/d', body)
    const kept = (await patch({ description: null, files_url: '', custom_fields: {}, split: 'train' })).body
    assert.equal(kept.description, 'old')
    assert.equal(kept.files_url, 'hf://datasets/patch/d')
    assert.deepEqual(kept.custom_fields, { a: 1 })
    assert.equal(kept.split, 'train')
    const replaced = (await patch({ custom_fields: { b: 2 }, limit: 0 })).body
    assert.deepEqual(replaced.custom_fields, { b: 2 })
    assert.equal(replaced.limit, 0)
    const sentBack = await patch((await call('GET', '/v1/datasets/patch/d')).body)
    assert.equal(sentBack.status, 200)
    assert.equal((await patch({ name: 'other' })).status, 422)
    assert.equal((await call('PATCH', '/v1/datasets/patch/none', {})).status, 404)
  })

  test('concurrent patches of different fields all stay', async () => {
    await call('POST', '/v1/projects', { namespace: 'patch', name: 'p' })
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => call('PATCH', '/v1/projects/patch/p', { [`field${i}`]: i + 1 })),
    )
    const { body } = await call('GET', '/v1/projects/patch/p')
    for (let i = 0; i < 10; i++) assert.equal(body[`field${i}`], i + 1)
  })

  test('a namespace that holds something is not deleted and says what it holds', async () => {
    await call('POST', '/v1/namespaces', { id: 'full' })
    await call('POST', '/v1/models', { namespace: 'full', name: 'm1' })
    await call('POST', '/v1/models', { namespace: 'full', name: 'm2' })
    await call('POST', '/v1/projects', { namespace: 'full', name: 'p' })
    const refused = await call('DELETE', '/v1/namespaces/full')
    assert.equal(refused.status, 409)
    assert.match(refused.body.detail, /still holds 2 models, 1 project/)
    for (const path of ['models/full/m1', 'models/full/m2', 'projects/full/p'])
      await call('DELETE', `/v1/${path}`)
    assert.equal((await call('DELETE', '/v1/namespaces/full')).status, 200)
  })

  test('an entity may be made in a namespace that nobody created, which then can still be created', async () => {
    assert.equal((await call('POST', '/v1/projects', { namespace: 'later', name: 'p' })).status, 200)
    assert.equal((await call('GET', '/v1/namespaces/later')).status, 404)
    assert.equal((await call('POST', '/v1/namespaces', { id: 'later' })).status, 200)
  })

  test('hostile input is a 422 or a 404, never a 500', async () => {
    const cases: Array<[string, string, unknown]> = [
      ['POST', '/v1/models', { name: '../etc' }],
      ['POST', '/v1/models', { name: 'a//b' }],
      ['POST', '/v1/models', { name: 'x'.repeat(256) }],
      ['POST', '/v1/models', { name: 7 }],
      ['POST', '/v1/models', { name: 'nul', description: 'a\0b' }],
      ['POST', '/v1/models', '{"name":"half","description":"\\ud800"}'],
      ['POST', '/v1/models', `{"name":"deep","custom_fields":{"a":${'['.repeat(5000)}${']'.repeat(5000)}}}`],
      ['POST', '/v1/models', { name: 'key', custom_fields: { 'a\0': 1 } }],
      ['POST', '/v1/models', { name: 'url', api_endpoint: { url: 'file:///etc/passwd', model_id: 'x' } }],
      ['POST', '/v1/models', []],
      ['POST', '/v1/models', '{'],
      ['POST', '/v1/namespaces', { id: 'a/b' }],
      ['POST', '/v1/namespaces', { id: '..' }],
      ['GET', '/v1/models?search[name]=%00', undefined],
      ['GET', '/v1/models?filter[namespace]=%00', undefined],
      ['GET', '/v1/models?search[a][b][c][d][e][f]=1', undefined],
      ['GET', '/v1/models?filter[__proto__]=1', undefined],
      ['GET', '/v1/models?filter[peft]=true&filter[peft][a][b]=1', undefined],
    ]
    for (const [method, path, body] of cases) {
      assert.equal((await call(method, path, body)).status, 422, `${method} ${path} ${JSON.stringify(body)}`)
    }
    for (const path of ['/v1/models/a/b%00', '/v1/models/%00/b', '/v1/namespaces/%00']) {
      assert.equal((await call('GET', path)).status, 404, path)
      assert.equal((await call('DELETE', path)).status, 404, path)
      assert.equal((await call('PATCH', path, {})).status, 404, path)
    }
    const proto = await call('POST', '/v1/projects', '{"name":"proto","__proto__":{"x":1},"constructor":1}')
    assert.equal(proto.status, 200)
  })

  test('api keys are masked for everybody but the platform, and cannot be searched for', async () => {
    const api_key = 'sk-very-secret'
    const api_endpoint = { url: 'https://up.example/v1', model_id: 'm', api_key, format: 'openai' }
    const guardrails = { data: { models: [{ parameters: { api_key: 'second' } }] } }
    const made = await call('POST', '/v1/models', { namespace: 'up', name: 'm', api_endpoint, guardrails })
    assert.equal(made.body.api_endpoint.api_key, '******')
    const path = '/v1/models/up/m'
    for (const query of [
      path,
      '/v1/models?filter[namespace]=up',
      '/v1/models?search[api_endpoint]=example',
    ]) {
      const text = JSON.stringify((await call('GET', query)).body)
      assert.match(text, /\*{6}/, query)
      assert.doesNotMatch(text, /very-secret|second/, query)
    }
    assert.deepEqual(await names('search[api_endpoint]=very-secret'), [])
    const wrong = await call('GET', path, undefined, { [INTERNAL_TOKEN_HEADER]: `${TOKEN}x` })
    assert.equal(wrong.body.api_endpoint.api_key, '******')

    const inside = createEntityStoreClient({
      baseUrl: 'http://es',
      internalToken: TOKEN,
      fetch: async (url, init) => current().running.app.request(String(url), init),
    })
    assert.equal((await inside.models.get('up', 'm')).api_endpoint?.api_key, api_key)
    const [listed] = (await inside.models.list({ filter: { namespace: 'up' } })).data
    assert.equal(listed?.api_endpoint?.api_key, api_key)
    assert.deepEqual(listed?.guardrails, guardrails)

    // An answer sent back keeps the key, but never for another URL.
    assert.equal((await call('PATCH', path, made.body)).status, 200)
    assert.equal((await inside.models.get('up', 'm')).api_endpoint?.api_key, api_key)
    const moved = { ...made.body.api_endpoint, url: 'https://evil.example' }
    assert.equal((await call('PATCH', path, { api_endpoint: moved })).status, 422)
    await call('PATCH', path, { api_endpoint: { ...moved, api_key: 'new' }, description: 'moved' })
    assert.equal((await inside.models.get('up', 'm')).api_endpoint?.api_key, 'new')
    await call('PATCH', path, { api_endpoint: { url: 'https://open.example', model_id: 'm' } })
    assert.equal((await inside.models.get('up', 'm')).api_endpoint?.api_key, undefined)
    assert.equal(
      (await call('POST', '/v1/models', { name: 'masked', api_endpoint: made.body.api_endpoint })).status,
      422,
    )
  })

  test('the catalogue is seeded once, follows the catalogue, and leaves what users changed or deleted', async () => {
    const seeded = await call('GET', '/v1/models/smollm2/smollm2-135m-instruct')
    assert.equal(seeded.status, 200)
    assert.equal(seeded.body.spec.num_parameters, 134515008)
    assert.deepEqual(await names('filter[id]=default', 'namespaces'), ['default'])
    assert.equal((await call('GET', '/v1/namespaces/smollm2')).status, 200)

    await call('PATCH', '/v1/models/team/upstream', { description: 'mine' })
    await call('DELETE', '/v1/models/meta/alias')
    await startService(current().db, catalogueOf({ description: 'newer', version: '9' }))
    const newer = (await call('GET', '/v1/models/smollm2/smollm2-135m-instruct')).body
    assert.match(newer.description, /newer/)
    assert.equal(newer.id, seeded.body.id)
    assert.equal(newer.created_at, seeded.body.created_at)
    assert.equal((await call('GET', '/v1/models/team/upstream')).body.description, 'mine')
    assert.equal((await call('GET', '/v1/models/meta/alias')).status, 404)

    await startService(current().db, { ...catalogueOf({}), models: [] })
    assert.equal((await call('GET', '/v1/models/smollm2/smollm2-135m-instruct')).status, 404)
    assert.equal((await call('GET', '/v1/models/team/upstream')).body.description, 'mine')
    await startService(current().db, catalogueOf({}))
    assert.equal((await call('GET', '/v1/models/smollm2/smollm2-135m-instruct')).status, 200)
  })

  test('the counts that pages show are those of the rows', async () => {
    for (const kind of ['namespace', 'project', 'dataset', 'model']) {
      const [row] = await current().db.query<{ rows: number; counted: number }>(
        `SELECT (SELECT count(*)::int FROM entity_store.${kind}s) AS rows,
           (SELECT sum(n)::int FROM entity_store.counts WHERE kind = $1) AS counted`,
        [kind],
      )
      assert.equal(row?.rows, row?.counted, kind)
    }
  })

  test('the OpenAPI document describes all 20 operations', async () => {
    const { body } = await call('GET', '/openapi.json')
    const operations = Object.entries<object>(body.paths)
      .filter(([path]) => /^\/v1\/(namespaces|projects|datasets|models)/.test(path))
      .flatMap(([, item]) => Object.keys(item))
    assert.equal(operations.length, 20)
  })
})
