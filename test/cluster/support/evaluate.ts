// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { until } from './site.ts'

interface Results {
  tasks: { qa: { metrics: { f1: { scores: { f1_score: { value: number } } } } } }
}

/** Evaluates the model of flywheel.py on its questions by the evaluator at `base`; gives the F1 score. */
export async function evaluateTuned(base: string, explain: () => Promise<string>): Promise<number> {
  const url = `${base}/v1/evaluation/jobs`
  const task = {
    type: 'chat-completion',
    params: { template: { messages: [{ role: 'user', content: '{{item.q}}' }], max_tokens: 12 } },
    metrics: { f1: { type: 'f1', params: { ground_truth: '{{item.a}}' } } },
    dataset: { files_url: 'hf://datasets/demo/qa' },
  }
  const made = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      namespace: 'demo',
      target: { type: 'model', model: 'demo/colours-model@v1' },
      config: { type: 'custom', tasks: { qa: task } },
    }),
  })
  const { id } = (await made.json()) as { id: string }
  let job = { status: '' }
  const ended = async () => {
    job = (await (await fetch(`${url}/${id}`)).json()) as typeof job
    return /^(completed|failed|cancelled)$/.test(job.status)
  }
  await until('the evaluation ends', 300, ended, async () => JSON.stringify(job) + (await explain()))
  assert.equal(job.status, 'completed', JSON.stringify(job))
  const { tasks } = (await (await fetch(`${url}/${id}/results`)).json()) as Results
  return tasks.qa.metrics.f1.scores.f1_score.value
}
