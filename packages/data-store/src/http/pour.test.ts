// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '@open-nemo/runtime'
import type { Context } from 'hono'
import { pour } from './request.ts'

test('a large body comes whole, and its pieces hold no memory once the sink has copied them', async () => {
  const body = randomBytes(9_000_001)
  const copies: Buffer[] = []
  const pieces: Uint8Array[] = []
  let turn = 0
  const sink = {
    write(bytes: Uint8Array) {
      pieces.push(bytes)
      const copy = () => void copies.push(Buffer.from(bytes))
      // Now at once, now later, as the disk is behind.
      if (turn++ % 3 > 0) return void copy()
      return sleep(1).then(copy)
    },
  }
  const listener = await serve({
    host: '127.0.0.1',
    port: 0,
    fetch: async (request, { incoming }) => {
      const header = (name: string) => request.headers.get(name) ?? undefined
      await pour({ env: { incoming }, req: { header } } as unknown as Context, sink)
      return new Response('taken')
    },
  })
  try {
    const response = await fetch(listener.url, { method: 'PUT', body })
    assert.equal(await response.text(), 'taken')
    assert.ok(Buffer.concat(copies).equals(body))
    const held = pieces.reduce((sum, piece) => sum + piece.buffer.byteLength, 0)
    assert.ok(held < body.length / 10, `${held} bytes of ${body.length} are held`)
  } finally {
    await listener.close(0)
  }
})
