// SPDX-License-Identifier: Apache-2.0
// Started and killed by collect.test.ts: commits, squashes and collects until then, and prints what was acknowledged.
import { createHash, randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openEmbedded } from '@open-nemo/runtime'
import { file, startForTest } from '../testing.ts'

/** The data store of a home that the writer left. */
export async function openWriterHome(home: string) {
  const dir = join(home, 'data')
  await mkdir(dir, { recursive: true })
  const db = await openEmbedded(join(home, 'postgres'))
  const store = await startForTest({ dir, db, env: { NEMO_DATA_STORE_GC_AGE: '0' } })
  return { store, db }
}

async function write(home: string): Promise<void> {
  const { store } = await openWriterHome(home)
  const id = 'gc/kill'
  await store.client.createRepo({ type: 'dataset', id, existOk: true })
  const collecting = async () => {
    for (;;) await store.post('/v1/datastore/collect', {})
  }
  void collecting()
  for (;;) {
    const content = randomBytes(1_100_000)
    const path = `${Date.now()}-${randomBytes(4).toString('hex')}.bin`
    const answer = await store.commit(id, [file('passing.bin', randomBytes(1_100_000)), file(path, content)])
    if (answer.ok) console.log(`${path} ${createHash('sha256').update(content).digest('hex')}`)
    await store.post(`/v1/hf/api/datasets/${id}/super-squash/main`, {})
  }
}

if (process.argv[1] === import.meta.filename) await write(process.argv[2] ?? '')
