// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { newRepo } from '../testing/fake-platform.ts'
import { type Harness, jsonl, startHarness } from '../testing/harness.ts'

const MODEL = 'smollm2/smollm2-135m-instruct'
const CHATS = [1, 2, 3, 4].map((n) => ({
  messages: [
    { role: 'user', content: `q${n}` },
    { role: 'assistant', content: `a${n}` },
  ],
}))
const PATH = '/v1/fine_tuning/jobs'

describe('fine-tuning jobs of the OpenAI API', () => {
  let db: Database
  let h: Harness
  before(async () => {
    db = await openMemoryDatabase()
    h = await startHarness(db)
    const files = {
      'file-train/chats.jsonl': jsonl(CHATS),
      'file-valid/v.jsonl': jsonl(CHATS),
      'file-image/cat.png': 'x',
    }
    h.platform.repos.set('dataset/openai/files', newRepo(files))
  })
  after(async () => {
    await h.close()
    await db.close()
  })

  const create = (change: Record<string, unknown> = {}) =>
    h.call('POST', PATH, { model: MODEL, training_file: 'file-train', ...change })

  it('train, and name the model that answers', async () => {
    const asked = {
      suffix: 'support',
      validation_file: 'file-valid',
      seed: 7,
      metadata: { team: 'red' },
      method: {
        type: 'supervised',
        supervised: { hyperparameters: { n_epochs: 2, batch_size: 2, learning_rate_multiplier: 'auto' } },
      },
    }
    const { status, body } = await create(asked)
    assert.equal(status, 200, JSON.stringify(body))
    assert.match(body.id, /^ftjob-/)
    assert.deepEqual(
      [body.object, body.status, body.fine_tuned_model, body.model],
      ['fine_tuning.job', 'validating_files', null, MODEL],
    )
    assert.deepEqual(body.hyperparameters, { n_epochs: 2, batch_size: 2, learning_rate_multiplier: 'auto' })
    const job = await h.waitFor(body.id.replace('ftjob-', 'cust-'), 'completed', 'failed')
    assert.equal(job.status, 'completed', JSON.stringify(job.status_details))
    assert.deepEqual([job.hyperparameters.epochs, job.hyperparameters.seed], [2, 7])
    const { body: done } = await h.call('GET', `${PATH}/${body.id}`)
    assert.equal(done.status, 'succeeded')
    assert.equal(done.fine_tuned_model, `default/smollm2-135m-instruct-support@${job.id}`)
    assert.ok(done.finished_at >= done.created_at)
    const { body: events } = await h.call('GET', `${PATH}/${body.id}/events?limit=100`)
    assert.ok(events.data.some((event: { type: string }) => event.type === 'metrics'))
    assert.ok(
      events.data.some((event: { data: { valid_loss?: number } }) => event.data.valid_loss !== undefined),
    )
    const { body: first } = await h.call('GET', `${PATH}/${body.id}/events?limit=2`)
    const { body: next } = await h.call('GET', `${PATH}/${body.id}/events?limit=1&after=${first.data[1].id}`)
    assert.equal(next.data[0].id, events.data[2].id)
    const { body: checkpoints } = await h.call('GET', `${PATH}/${body.id}/checkpoints`)
    assert.equal(checkpoints.data[0].fine_tuned_model_checkpoint, done.fine_tuned_model)
  })

  it('are listed newest first, in pages and by metadata, with those of the customizer', async () => {
    const other = await h.createJob()
    const { body } = await h.call('GET', `${PATH}?limit=1`)
    assert.deepEqual([body.data[0].id, body.has_more], [other.replace('cust-', 'ftjob-'), true])
    const { body: next } = await h.call('GET', `${PATH}?limit=1&after=${body.data[0].id}`)
    assert.equal(next.data[0].training_file, 'file-train')
    const { body: red } = await h.call('GET', `${PATH}?metadata[team]=red`)
    assert.equal(red.data.length, 1)
  })

  it('can be cancelled', async () => {
    const { body } = await create({ suffix: 'cancelled' })
    await h.call('POST', `${PATH}/${body.id}/cancel`)
    const { status } = await h.waitFor(body.id.replace('ftjob-', 'cust-'), 'cancelled', 'completed')
    const again = await h.call('POST', `${PATH}/${body.id}/cancel`)
    assert.deepEqual([again.status, again.body.error.code], [409, 'FINE_TUNING_JOB_ENDED'])
    const shown = status === 'completed' ? 'succeeded' : 'cancelled'
    assert.match(
      again.body.error.message,
      new RegExp(`${body.id} is ${shown}.*/v1/fine_tuning/jobs/${body.id}`),
    )
    assert.doesNotMatch(JSON.stringify(again.body), /cust-|customization/)
  })

  it('say the integrations that were asked for, and which of them will log nothing', async () => {
    const integrations = [{ type: 'wandb', wandb: { project: 'p', name: 'a run', tags: ['t'] } }]
    const { body } = await create({ suffix: 'logged', integrations })
    assert.deepEqual(body.integrations, integrations)
    assert.deepEqual((await h.call('GET', `${PATH}/${body.id}`)).body.integrations, integrations)
    const { body: events } = await h.call('GET', `${PATH}/${body.id}/events?limit=100`)
    const warned = events.data.filter((event: { level: string }) => event.level === 'warn')
    assert.match(JSON.stringify(warned), /wandb logs nothing.*wandb-api-key/)
    await h.call('POST', `${PATH}/${body.id}/cancel`)
    await h.waitFor(body.id.replace('ftjob-', 'cust-'), 'cancelled', 'completed')
    const { body: plain } = await create({ suffix: 'plain' })
    assert.deepEqual(plain.integrations, [])
    await h.call('POST', `${PATH}/${plain.id}/cancel`)
  })

  it('are refused with the field at fault', async () => {
    const cases: [Record<string, unknown>, number, RegExp][] = [
      [{ model: 'gpt-4o' }, 400, /gpt-4o.*smollm2/],
      [{ training_file: 'file-nothing' }, 422, /training_file.*no file/],
      [{ training_file: 'file-image' }, 422, /cat\.png/],
      [{ training_file: '../x' }, 422, /training_file/],
      [{ validation_file: 'file-nothing' }, 422, /validation_file/],
      [{ suffix: 'a/b' }, 422, /suffix/],
      [{ method: { type: 'dpo' } }, 400, /dpo.*Use .*supervised/],
      [{ hyperparameters: { n_epochs: 0 } }, 422, /n_epochs/],
    ]
    for (const [change, status, message] of cases) {
      const answer = await create(change)
      assert.equal(answer.status, status, JSON.stringify(answer.body))
      assert.match(JSON.stringify(answer.body), message)
      // OpenAI's clients read the field from here.
      assert.equal(answer.body.error.param.split('.')[0], Object.keys(change)[0])
    }
    const none = await h.call('GET', `${PATH}/ftjob-none`)
    assert.deepEqual([none.status, none.body.error.code], [404, 'FINE_TUNING_JOB_NOT_FOUND'])
    assert.equal((await h.call('GET', `${PATH}?limit=0`)).status, 422)
  })
})
