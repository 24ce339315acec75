// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, jsonl, startHarness } from '../../testing/harness.ts'
import { asItem } from './columns.ts'

describe('custom evaluations', () => {
  let db: Database
  let harness: Harness
  before(async () => {
    db = await openMemoryDatabase()
    harness = await startHarness(db)
    harness.platform.answer = ({ body }) => (body.messages?.at(-1) ?? { content: body.prompt }).content
    harness.platform.repos.set('team/quiz', {
      'rows.jsonl': jsonl([{ 'The Question?': 'Who?', 'the answer': 'Who?' }]),
    })
  })
  after(async () => {
    await harness.close()
    await db.close()
  })

  async function accuracy(template: unknown): Promise<number> {
    const metrics = { same: { type: 'string-check', params: { check: CHECK } } }
    const dataset = { files_url: 'hf://datasets/team/quiz' }
    const model = { api_endpoint: { url: 'http://m.example/v1', model_id: 'm' } }
    const { result } = await harness.run({
      target: { type: 'model', model },
      config: {
        type: 'custom',
        tasks: { t: { type: 'completion', params: { template }, dataset, metrics } },
      },
    })
    return result.tasks.t.metrics.same.scores['string-check'].value
  }
  const CHECK = ['{{sample.output_text}}', 'equals', '{{item.the_answer}}']

  it('completions whose template holds messages are chats', async () => {
    assert.equal(await accuracy({ messages: [{ role: 'user', content: '{{item.the_question_}}' }] }), 1)
    assert.match(harness.platform.asked.at(-1)?.url ?? '', /\/chat\/completions$/)
    assert.equal(await accuracy({ prompt: '{{ the_question_ }}' }), 1)
    assert.match(harness.platform.asked.at(-1)?.url ?? '', /\/v1\/completions$/)
  })

  it('columns have a name that templates can write, without losing their own', () => {
    const plain = { a: 1, b_2: 2 }
    assert.equal(asItem(plain), plain)
    assert.deepEqual(asItem({ 'A b': 1, a_b: 2, 'a-b': 3, Ünder: 4 }), {
      'A b': 1,
      a_b: 2,
      'a-b': 3,
      Ünder: 4,
      a_b_1: 1,
      a_b_2: 3,
      ünder: 4,
    })
  })
})
