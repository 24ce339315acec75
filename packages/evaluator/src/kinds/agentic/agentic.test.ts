// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, jsonl, startHarness } from '../../testing/harness.ts'
import { readTurns, toolCallAccuracy } from './tool-calls.ts'

const judge = { model: { api_endpoint: { url: 'http://judge.example/v1', model_id: 'j' } } }
const call = (name: string, args: Record<string, unknown>) => ({ name, args })
const TALK = [
  { type: 'human', content: 'Weather in New York and Rome?' },
  { type: 'ai', content: '', tool_calls: [call('weather', { city: 'New York', unit: 'C' })] },
  { type: 'tool', content: '21' },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ function: { name: 'weather', arguments: '{"city": "Rome", "unit": "F"}' } }],
  },
]

describe('agentic evaluations', () => {
  let db: Database
  let harness: Harness
  before(async () => {
    db = await openMemoryDatabase()
    harness = await startHarness(db)
    harness.platform.answer = ({ body }) => {
      const question: string = body.messages.at(-1).content
      if (/what state it ended in/.test(question))
        return '{"user_goal": "know the weather", "end_state": "it was told"}'
      if (/outcome that was reached agree/.test(question))
        return JSON.stringify({ verdict: question.includes('told it') ? 1 : 0 })
      if (/List the topics/.test(question))
        return '{"topics": [{"topic": "weather"}, {"topic": "politics", "refused": 0}]}'
      if (/belongs to one of these/.test(question)) return '{"classifications": [1, 0]}'
      if (/Mark how well/.test(question)) return '{"score": 4}'
      return '{"rating": 4}'
    }
    harness.platform.repos.set('team/talks', {
      'rows.jsonl': jsonl([
        {
          user_input: TALK,
          reference_tool_calls: [
            call('weather', { unit: 'C', city: 'New York' }),
            call('weather', { city: 'Rome', unit: 'C' }),
          ],
          reference: 'told it',
          reference_topics: ['weather'],
          question: 'Weather?',
          response: 'Fine.',
          intermediate_steps: [['weather', '21']],
        },
      ]),
    })
  })
  after(async () => {
    await harness.close()
    await db.close()
  })

  const job = (task: Record<string, unknown>) => ({
    target: { type: 'cached_outputs', cached_outputs: { files_url: 'hf://datasets/team/talks' } },
    config: { type: 'agentic', tasks: { t: task } },
  })

  const cases: [string, string, number][] = [
    ['tool_call_accuracy', 'tool_call_accuracy', 0.75],
    ['goal_accuracy_with_reference', 'agent_goal_accuracy', 1],
    ['goal_accuracy_without_reference', 'agent_goal_accuracy', 0],
    ['topic_adherence', 'topic_adherence', 2 / 3],
    ['trajectory_evaluation', 'trajectory_evaluation', 0.75],
  ]
  for (const [type, score, value] of cases) {
    it(type, async () => {
      const { result } = await harness.run(job({ type, params: { judge } }))
      assert.ok(
        Math.abs(result.tasks.t.metrics[score].scores[score].value - value) < 1e-9,
        JSON.stringify(result.tasks),
      )
    })
  }

  it('takes several metrics of one task, by the names they are listed under', async () => {
    const metrics = { calls: { type: 'tool_call_accuracy' }, goal: { type: 'agent_goal_accuracy' } }
    const { result } = await harness.run(job({ type: 'custom', params: { judge }, metrics }))
    assert.equal(result.tasks.t.metrics.calls.scores.tool_call_accuracy.value, 0.75)
    assert.equal(result.tasks.t.metrics.goal.scores.agent_goal_accuracy.value, 1)
  })

  it('takes a judge written flat, with its own inference parameters', async () => {
    const flat = { url: 'http://flat.example/v1', model_id: 'f', api_key: null }
    const judge = { model: flat, inference_params: { max_new_tokens: 77, temperature: 0.5, max_retries: 1 } }
    const { result } = await harness.run(job({ type: 'trajectory_evaluation', params: { judge } }))
    assert.equal(result.tasks.t.metrics.trajectory_evaluation.scores.trajectory_evaluation.value, 0.75)
    const asked = harness.platform.asked.findLast(({ url }) => url.includes('flat.example'))
    assert.deepEqual([asked?.body.model, asked?.body.max_tokens, asked?.body.temperature], ['f', 77, 0.5])
  })

  it('refuses tasks without a known metric or without a judge', async () => {
    for (const [task, message] of [
      [{ type: 'mind_reading' }, /mind_reading/],
      [{ type: 'topic_adherence' }, /judge/],
    ] as const) {
      const { status, body } = await harness.call('POST', '/v1/evaluation/jobs', job(task))
      assert.equal(status, 400)
      assert.match(JSON.stringify(body), message)
    }
  })
})

describe('tool calls', () => {
  it('score 0 in another order, with one more, or with another name', () => {
    const [a, b] = [call('a', { x: 1 }), call('b', {})]
    assert.equal(toolCallAccuracy([a, b], [a, b]), 1)
    assert.equal(toolCallAccuracy([b, a], [a, b]), 0)
    assert.equal(toolCallAccuracy([a, b, b], [a, b]), 0)
    assert.equal(toolCallAccuracy([], [a]), 0)
    assert.equal(toolCallAccuracy([], []), 1)
    assert.equal(
      toolCallAccuracy([call('a', { x: { p: 1, q: [2] } })], [call('a', { x: { q: [2], p: 1 } })]),
      1,
    )
  })

  it('names what cannot be read', () => {
    assert.throws(() => readTurns('hi'), /list/)
    assert.throws(() => readTurns([{ content: 'x' }]), /\[0\]/)
  })
})
