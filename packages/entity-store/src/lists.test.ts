// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onEachDatabase } from './testing.ts'

onEachDatabase(({ call, names }) => {
  test('pages: envelope, order, past the end, and totals for filters', async () => {
    for (let i = 0; i < 5; i++) await call('POST', '/v1/projects', { namespace: 'pages', name: `p${i}` })
    const page = await call('GET', '/v1/projects?filter[namespace]=pages&page_size=2&page=2&sort=-created_at')
    assert.deepEqual(
      page.body.data.map((p: { name: string }) => p.name),
      ['p2', 'p1'],
    )
    assert.deepEqual(
      { ...page.body, data: [] },
      {
        object: 'list',
        data: [],
        pagination: { page: 2, page_size: 2, current_page_size: 2, total_pages: 3, total_results: 5 },
        sort: '-created_at',
        filter: { namespace: 'pages' },
        search: null,
      },
    )
    const past = await call('GET', '/v1/projects?filter[namespace]=pages&page_size=2&page=9')
    assert.equal(past.status, 200)
    assert.deepEqual(past.body.data, [])
    assert.equal(past.body.pagination.total_results, 5)
    assert.deepEqual(await names('filter[namespace]=pages&sort=-name', 'projects'), [
      'p4',
      'p3',
      'p2',
      'p1',
      'p0',
    ])
    assert.deepEqual(await names('filter[namespace]=pages&filter[name]=p3', 'projects'), ['p3'])
    for (const bad of ['page=0', 'page_size=100000', 'sort=secret', 'page=x', 'filter[nope]=1']) {
      const { status, body } = await call('GET', `/v1/projects?${bad}`)
      assert.equal(status, 422, bad)
      assert.equal(body.detail[0].loc[0], 'query')
    }
  })

  test('models are filtered by peft, base model, prompt, project and dates', async () => {
    const base = { namespace: 'filters' }
    const lora = { peft: { finetuning_type: 'lora' }, base_model: 'meta/llama@2.0' }
    await call('POST', '/v1/models', { ...base, name: 'lora', ...lora, project: 'a, b' })
    const middle = (await call('GET', '/v1/models/filters/lora')).body.created_at
    await call('POST', '/v1/models', { ...base, name: 'full', peft: { finetuning_type: 'all_weights' } })
    await call('POST', '/v1/models', { ...base, name: 'plain', prompt: { system_prompt: 'hi' } })
    await call('POST', '/v1/models', {
      ...base,
      name: 'object',
      base_model: { namespace: 'meta', name: 'llama' },
    })
    const f = (query: string) => names(`filter[namespace]=filters&sort=name&${query}`)
    assert.deepEqual(await f('filter[peft]=true'), ['full', 'lora'])
    assert.deepEqual(await f('filter[peft]=false'), ['object', 'plain'])
    assert.deepEqual(await f('filter[peft][lora]=true'), ['lora'])
    assert.deepEqual(await f('filter[peft][lora]=false'), ['full', 'object', 'plain'])
    assert.deepEqual(await f('filter[peft][finetuning_type]=all_weights'), ['full'])
    assert.deepEqual(await f('filter[prompt]=true'), ['plain'])
    assert.deepEqual(await f('filter[project]=a, b'), ['lora'])
    assert.deepEqual(await f('filter[base_model]=meta/llama@2.0'), ['lora'])
    assert.deepEqual(await f('filter[base_model]=meta/llama'), ['object'])
    assert.deepEqual(await f('filter[base_model][name]=llama'), ['lora', 'object'])
    assert.deepEqual(await f('filter[base_model][name]=meta/llama'), ['lora', 'object'])
    assert.deepEqual(await f(`filter[created_at][lte]=${middle}`), ['lora'])
    assert.deepEqual(await f(`filter[created_at][gt]=${middle}Z`), ['full', 'object', 'plain'])
    assert.deepEqual(await f('filter[created_at][gte]=2999-01-01'), [])
    for (const bad of ['filter[peft]=maybe', 'filter[created_at][gte]=soon', 'filter[created_at][like]=2']) {
      assert.equal((await call('GET', `/v1/models?${bad}`)).status, 422, bad)
    }
  })

  test('search is by substring: repeated or joined values are "or", fields are "and"', async () => {
    const make = (name: string, more: object = {}) =>
      call('POST', '/v1/models', { namespace: 'find', name, ...more })
    await make('Llama-a', { peft: { finetuning_type: 'lora' }, custom_fields: { note: '50%_done' } })
    await make('gpt-b', { custom_property: { item: 'an adapter here' }, description: 'naïve 模型' })
    await make('qwen-c', { base_model: 'mistral/m' })
    const s = (query: string) => names(`search[namespace]=find&sort=name&${query}`)
    assert.deepEqual(await s('search[name]=llama'), ['Llama-a'])
    assert.deepEqual(await s('search[name]=llama&search[name]=gpt'), ['Llama-a', 'gpt-b'])
    assert.deepEqual(await s('search[name]=llama,qwen'), ['Llama-a', 'qwen-c'])
    assert.deepEqual(await s('search[name]=llama&search[peft]=lora'), ['Llama-a'])
    assert.deepEqual(await s('search[peft][finetuning_type]=lora'), ['Llama-a'])
    assert.deepEqual(await s('search[custom_property][item]=adapter'), ['gpt-b'])
    assert.deepEqual(await s('search[base_model]=mistral'), ['qwen-c'])
    assert.deepEqual(await s(`search[description]=${encodeURIComponent('模型')}`), ['gpt-b'])
    assert.deepEqual(await s('search[custom_fields][note]=50%25_'), ['Llama-a'])
    assert.deepEqual(await s('search[custom_fields][note]=0_%25'), [])
    assert.deepEqual(await s('search[created_at][start]=2999-01-01'), [])
    assert.equal(
      (await s('search[created_at][start]=2020-01-01&search[updated_at][end]=2999-01-01')).length,
      3,
    )
    assert.deepEqual(await names(`search[id]=${encodeURIComponent("'; DROP TABLE x; --")}`), [])
    await call('POST', '/v1/namespaces', { id: 'research-eu' })
    assert.deepEqual(await names('search[id]=research', 'namespaces'), ['research-eu'])
    assert.deepEqual(await names('search[name]=RESEARCH', 'namespaces'), ['research-eu'])
  })
})
