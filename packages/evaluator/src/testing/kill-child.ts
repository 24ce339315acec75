// SPDX-License-Identifier: Apache-2.0
// Child process of kill.test.ts: an evaluator on a database folder, that tells of every question asked and answered.
import { openEmbedded } from '@open-nemo/runtime'
import { createFakePlatform } from './fake-platform.ts'
import { jsonl, MODEL, startHarness } from './harness.ts'

const [dir = '', dataDir = '', samples = '0'] = process.argv.slice(2)
const say = (message: Record<string, unknown>) => process.stdout.write(`${JSON.stringify(message)}\n`)

const db = await openEmbedded(dir)
const platform = createFakePlatform()
const rows = Array.from({ length: Number(samples) }, (_, n) => ({ q: `q${n}`, a: n % 2 ? `q${n}` : 'other' }))
platform.repos.set('demo/rows', { 'rows.jsonl': jsonl(rows) })
platform.answer = async ({ body }) => {
  const question = body.messages[0].content
  say({ asked: question })
  await new Promise((resolve) => setTimeout(resolve, 5))
  return question
}
const h = await startHarness(db, { platform, dataDir })
const { body } = await h.call('GET', '/v1/evaluation/jobs')
const known = body.data[0]?.id
const id =
  known ??
  (await h.createJob({
    target: { type: 'model', model: MODEL },
    config: {
      type: 'custom',
      params: { parallelism: 2 },
      tasks: {
        qa: {
          type: 'chat-completion',
          dataset: 'hf://datasets/demo/rows',
          params: { template: { messages: [{ role: 'user', content: '{{ q }}' }] } },
          metrics: {
            bleu: { type: 'bleu', params: { references: ['{{ a }}'] } },
            check: { type: 'string-check', params: { check: ['{{ output_text }}', 'equals', '{{ a }}'] } },
          },
        },
      },
    },
  }))
say({ job: id, isNew: !known })
const job = await h.waitFor(id, 'completed', 'failed')
const { body: result } = await h.call('GET', `/v1/evaluation/jobs/${id}/results`)
say({ job, result })
await h.service.stop()
await db.close()
