// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startForTest } from '../testing.ts'
import { lifetimeOf } from './file-expiry.ts'

describe('files of the OpenAI API', () => {
  let hub: Awaited<ReturnType<typeof startForTest>>
  before(async () => {
    hub = await startForTest()
  })
  after(() => hub.close())

  function form(content: string | Uint8Array<ArrayBuffer>, name = 'chats.jsonl', purpose = 'fine-tune') {
    const body = new FormData()
    body.append('purpose', purpose)
    body.append('file', new Blob([content]), name)
    return { method: 'POST', body }
  }
  const read = async (path: string, init?: RequestInit) => {
    const response = await hub.request(path, init)
    return { status: response.status, body: await response.json() }
  }

  it('are kept, listed in pages, downloaded, and deleted', async () => {
    const large = new Uint8Array(3_000_000).fill(65)
    const { body: first } = await read('/v1/files', form('{"messages": []}\n'))
    assert.deepEqual(
      [first.object, first.bytes, first.filename, first.purpose, first.status],
      ['file', 17, 'chats.jsonl', 'fine-tune', 'processed'],
    )
    const { body: second } = await read('/v1/files', form(large, '../../up/large.bin', 'batch'))
    assert.equal(second.filename, 'large.bin')
    const content = await hub.request(`/v1/files/${second.id}/content`)
    assert.equal((await content.arrayBuffer()).byteLength, 3_000_000)
    const { body: page } = await read('/v1/files?limit=1')
    assert.deepEqual([page.data[0].id, page.has_more], [second.id, true])
    const { body: next } = await read(`/v1/files?limit=1&after=${second.id}`)
    assert.deepEqual([next.data[0].id, next.has_more], [first.id, false])
    assert.equal((await read('/v1/files?purpose=batch')).body.data.length, 1)
    // The same bytes are readable as a file of the hub, as a job reads them.
    const hubFile = await hub.request(`/v1/hf/datasets/openai/files/resolve/main/${first.id}/chats.jsonl`)
    assert.equal(await hubFile.text(), '{"messages": []}\n')
    const { body: gone } = await read(`/v1/files/${first.id}`, { method: 'DELETE' })
    assert.deepEqual(gone, { id: first.id, object: 'file', deleted: true })
    assert.equal((await read(`/v1/files/${first.id}`)).status, 404)
    assert.equal((await hub.request(`/v1/files/${first.id}/content`)).status, 404)
  })

  it('may come in a crowd, and alike', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => read('/v1/files', form('same'))))
    assert.equal(new Set(all.map(({ body }) => body.id)).size, 8)
  })

  it('go at their time', async () => {
    const asked = form('{"messages": []}\n')
    asked.body.append('expires_after[anchor]', 'created_at')
    asked.body.append('expires_after[seconds]', '3600')
    const { body: file } = await read('/v1/files', asked)
    assert.equal(file.expires_at, file.created_at + 3600)
    const { body: kept } = await read('/v1/files', form('stays'))
    assert.equal(kept.expires_at, null)
    assert.deepEqual((await read(`/v1/files/${file.id}`)).body, file)
    const hubFile = () =>
      hub.request(`/v1/hf/datasets/openai/files/resolve/main/${file.id}/chats.jsonl`).then((r) => r.status)

    await hub.db.query('UPDATE data_store.files SET expires_at = created_at - 1 WHERE id = $1', [file.id])
    assert.equal((await read(`/v1/files/${file.id}`)).status, 404)
    assert.equal((await read(`/v1/files/${file.id}/content`)).status, 404)
    const { body: page } = await read('/v1/files?limit=1')
    assert.equal(page.data[0].id, kept.id)
    assert.equal(await hubFile(), 200)

    // at once instead of within the minute
    assert.equal((await hub.post('/v1/datastore/collect', {})).status, 200)
    assert.equal(await hubFile(), 404)
    const left = () => hub.db.query('SELECT 1 FROM data_store.files WHERE id = $1', [file.id])
    assert.deepEqual(await left(), [])
    // a row whose content is gone, as a crash or another replica leaves it
    await hub.db.query(
      `INSERT INTO data_store.files (id, filename, purpose, bytes, created_at, expires_at)
       VALUES ($1, 'chats.jsonl', 'fine-tune', 1, 1, 2)`,
      [file.id],
    )
    assert.equal((await hub.post('/v1/datastore/collect', {})).status, 200)
    assert.deepEqual(await left(), [])
    assert.equal((await read(`/v1/files/${kept.id}`)).status, 200)
  })

  it('are refused when they are to go at no time there is', () => {
    const anchor = { 'expires_after[anchor]': 'created_at' }
    const cases: [Record<string, string>, RegExp][] = [
      [{ expires_after: '{"anchor":"created_at","seconds":3600}' }, /expires_after/],
      [{ 'expires_after[seconds]': '3600' }, /expires_after.*anchor/],
      [{ ...anchor, 'expires_after[anchor]': 'last_active_at' }, /expires_after.*anchor/],
      [anchor, /expires_after.*seconds/],
      ...['3599', '2592001', '-1', '1e4', 'soon'].map((seconds): [Record<string, string>, RegExp] => [
        { ...anchor, 'expires_after[seconds]': seconds },
        /expires_after.*seconds/,
      ]),
    ]
    for (const [fields, message] of cases)
      assert.throws(
        () => lifetimeOf(fields),
        (err: unknown) => message.test(JSON.stringify(err)),
      )
    assert.equal(lifetimeOf({ ...anchor, 'expires_after[seconds]': '2592000' }), 2_592_000)
    assert.equal(lifetimeOf({ purpose: 'batch' }), undefined)
  })

  it('are refused with the field at fault', async () => {
    const cases: [RequestInit, RegExp][] = [
      [form('x', 'a', 'mischief'), /purpose/],
      [form('x', '.git'), /git's own/],
      [{ method: 'POST', body: JSON.stringify({ purpose: 'fine-tune' }) }, /form/],
      [
        {
          method: 'POST',
          headers: { 'content-type': 'multipart/form-data; boundary=x' },
          body: '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
        },
        /form|file/,
      ],
      [{ method: 'POST', body: new FormData() }, /file|form/],
    ]
    for (const [init, message] of cases) {
      const { status, body } = await read('/v1/files', init)
      assert.ok(status === 422 || status === 400, JSON.stringify(body))
      assert.match(JSON.stringify(body), message)
    }
    assert.equal((await read('/v1/files/%00')).status, 404)
  })
})
