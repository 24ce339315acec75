// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, MODEL, startHarness } from '../testing/harness.ts'
import { createRedactor, restoreSecrets, takeSecrets } from './secrets.ts'
import { toStamp } from './where.ts'

let db: Database
let h: Harness
const TARGETS = '/v1/evaluation/targets'
const CONFIGS = '/v1/evaluation/configs'
const SECRET = MODEL.api_endpoint.api_key

before(async () => {
  db = await openMemoryDatabase()
  h = await startHarness(db)
})
after(async () => {
  await h.close()
  await db.close()
})

const storedKey = async (name: string) => {
  const [row] = await db.query<{ secrets: Record<string, string> }>(
    'SELECT secrets FROM evaluator.entities WHERE name = $1',
    [name],
  )
  return row?.secrets['/model/api_endpoint/api_key']
}

test('a target is created, read, changed and deleted; nulls are left out and keys are masked', async () => {
  const body = { type: 'model', name: 'one', namespace: 'demo', model: MODEL, description: null }
  const made = await h.call('POST', TARGETS, body)
  assert.equal(made.status, 200)
  assert.match(made.body.id, /^eval-target-/)
  assert.match(made.body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  assert.deepEqual(made.body.custom_fields, {})
  assert.ok(!('description' in made.body) && !('rows' in made.body))
  assert.equal(made.body.model.api_endpoint.api_key, '******')
  assert.equal(await storedKey('one'), SECRET)
  const again = await h.call('POST', TARGETS, body)
  assert.deepEqual([again.status, again.body.code], [409, 'ENTITY_EXISTS'])

  const patched = await h.call('PATCH', `${TARGETS}/demo/one`, { description: 'new', project: null })
  assert.deepEqual([patched.status, patched.body.description], [200, 'new'])
  assert.equal(patched.body.model.api_endpoint.api_key, '******')
  assert.equal(await storedKey('one'), SECRET)

  const gone = await h.call('DELETE', `${TARGETS}/demo/one`)
  assert.equal(gone.body.id, made.body.id)
  assert.equal((await h.call('GET', `${TARGETS}/demo/one`)).status, 404)
  assert.equal((await h.call('DELETE', `${TARGETS}/demo/one`)).status, 404)
})

test('a masked key given back keeps the stored one, but not for another URL', async () => {
  await h.call('POST', TARGETS, { type: 'model', name: 'two', model: MODEL })
  const { body } = await h.call('GET', `${TARGETS}/default/two`)
  assert.equal((await h.call('PATCH', `${TARGETS}/default/two`, { model: body.model })).status, 200)
  assert.equal(await storedKey('two'), SECRET)
  const moved = { api_endpoint: { ...body.model.api_endpoint, url: 'http://thief.example/v1' } }
  const refused = await h.call('PATCH', `${TARGETS}/default/two`, { model: moved })
  assert.equal(refused.status, 422)
  assert.match(JSON.stringify(refused.body), /mask of a stored secret/)
  const replaced = { api_endpoint: { ...moved.api_endpoint, api_key: 'sk-other-key' } }
  await h.call('PATCH', `${TARGETS}/default/two`, { model: replaced })
  assert.equal(await storedKey('two'), 'sk-other-key')
})

test('lists are filtered, searched, sorted and paged', async () => {
  for (const n of [1, 2, 3]) {
    const custom_fields = { team: n === 2 ? 'b' : 'a' }
    await h.call('POST', CONFIGS, {
      type: n === 3 ? 'similarity_metrics' : 'custom',
      name: `c${n}`,
      namespace: 'lists',
      custom_fields,
    })
  }
  const names = async (query: string) => {
    const { body } = await h.call('GET', `${CONFIGS}?filter[namespace]=lists&${query}`)
    return body.data?.map((one: { name: string }) => one.name).join() ?? JSON.stringify(body)
  }
  assert.equal(await names(''), 'c1,c2,c3')
  assert.equal(await names('sort=-created_at&page_size=2'), 'c3,c2')
  assert.equal(await names('sort=-created_at&page_size=2&page=2'), 'c1')
  assert.equal(await names('filter[type]=custom'), 'c1,c2')
  assert.equal(await names('filter[name]=c2'), 'c2')
  assert.equal(await names('filter[custom_fields][team]=a'), 'c1,c3')
  assert.equal(await names('search[type]=similar'), 'c3')
  assert.equal(await names('search[name]=1,3'), 'c1,c3')
  assert.equal(await names('filter[created_at][gte]=2100-01-01'), '')
  assert.equal(
    await names('filter[created_at][lte]=2100'),
    JSON.stringify({
      detail: [
        {
          loc: ['query', 'filter[created_at][lte]'],
          msg: 'must be an ISO date or time',
          type: 'datetime_parsing',
        },
      ],
    }),
  )
  const unknown = await h.call('GET', `${CONFIGS}?filter[colour]=red`)
  assert.equal(unknown.status, 422)
  const { body } = await h.call('GET', `${CONFIGS}?filter[namespace]=lists&page_size=2`)
  assert.deepEqual(body.pagination, {
    page: 1,
    page_size: 2,
    current_page_size: 2,
    total_pages: 2,
    total_results: 3,
  })
})

test('a target without what its type is about is refused', async () => {
  const { status, body } = await h.call('POST', TARGETS, { type: 'rows' })
  assert.equal(status, 422)
  assert.deepEqual(body.detail[0].loc, ['body', 'rows'])
  assert.equal((await h.call('POST', TARGETS, { type: 'colour' })).status, 422)
  assert.equal((await h.call('POST', TARGETS, { type: 'rows', rows: [{ a: '\0' }] })).status, 422)
})

test('results can be made, changed and deleted by hand', async () => {
  const path = '/v1/evaluation/results'
  const { body } = await h.call('POST', path, {
    job: 'eval-x',
    tasks: { t: { metrics: { m: { scores: { s: { value: 1 } } } } } },
  })
  assert.match(body.id, /^evaluation_result-/)
  assert.deepEqual(body.groups, {})
  const patched = await h.call('PATCH', `${path}/${body.id}`, { description: 'hand made', tasks: null })
  assert.equal(patched.body.description, 'hand made')
  assert.equal(patched.body.tasks.t.metrics.m.scores.s.value, 1)
  const listed = await h.call('GET', `${path}?filter[job_id]=eval-x`)
  assert.equal(listed.body.data.length, 1)
  assert.equal((await h.call('DELETE', `${path}/${body.id}`)).status, 200)
  assert.equal((await h.call('GET', `${path}/${body.id}`)).status, 404)
})

test('secrets are found by the names of their fields, and in URLs', () => {
  const doc = {
    a: { api_key: 'k1', hf_token: 'k2', max_tokens: 5, tokens: 'none', 'X-Api-Key': 'k3' },
    list: [{ password: 'k4' }],
    model: { url: 'https://me:pw4567@host/v1' },
  }
  const whole = structuredClone(doc)
  const secrets = takeSecrets(doc)
  assert.deepEqual(Object.keys(secrets).sort(), [
    '/a/X-Api-Key',
    '/a/api_key',
    '/a/hf_token',
    '/list/0/password',
    '/model/url',
  ])
  assert.deepEqual([doc.a.api_key, doc.a.tokens, doc.model.url], ['******', 'none', 'https://host/v1'])
  assert.deepEqual(restoreSecrets(doc, secrets), whole)
  const redact = createRedactor(Object.values({ ...secrets, long: 'sk-abcdef' }))
  assert.deepEqual(redact.value({ text: ['use sk-abcdef', 'pw4567'] }), { text: ['use ******', '******'] })
  for (const url of ['https://host/v1', 'https://to%ken@host/v1?key=abcdef']) redact.add(url)
  assert.equal(
    redact.text('GET https://host/v1/models with to%ken and key=abcdef answered 404'),
    'GET https://host/v1/models with ****** and ****** answered 404',
  )
})

test('dates are read with and without time and zone', () => {
  assert.equal(toStamp('2025-06-20', false), '2025-06-20T00:00:00.000000')
  assert.equal(toStamp('2025-06-20', true), '2025-06-20T23:59:59.999999')
  assert.equal(toStamp('2025-06-20T10:00:00.5+02:00', false), '2025-06-20T08:00:00.500000')
  assert.equal(toStamp('20 June', false), undefined)
})
