// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { EvaluationResult } from '@open-nemo/contract/evaluation/results.ts'
import type { EvaluationJob } from '@open-nemo/contract/evaluation/schemas.ts'
import { DemoError, json } from './platform.ts'

/** What one model scored on the held-out rows; each from 0 to 1. */
export interface Scores {
  rows: number
  f1: number
  rougeL: number
  exact: number
  contains: number
  /** Standard error of f1. */
  f1Error: number
}

export interface EvaluationRequest {
  platform: string
  namespace: string
  model: string
  /** Where the rows are: chats whose second message is the right answer. */
  filesUrl: string
  maxTokens: number
}

const REFERENCE = '{{item.messages[1].content}}'
const TASK = 'held-out'
const PARALLEL = 4
const POLL_MS = 300

/** Evaluates a model with the platform's Evaluator, as anybody would; `onProgress` gets 0..100. Throws DemoError. */
export async function evaluateModel(
  on: EvaluationRequest,
  onProgress: (percent: number) => void,
): Promise<{ job: string; scores: Scores }> {
  const base = `${on.platform}/v1/evaluation/jobs`
  const job = await json<EvaluationJob>(base, {
    namespace: on.namespace,
    target: { type: 'model', model: on.model },
    config: configOf(on),
  })
  for (;;) {
    const { status, status_details: details } = await json<EvaluationJob>(`${base}/${job.id}`)
    onProgress(details.progress ?? 0)
    if (status === 'completed') break
    if (status === 'failed' || status === 'cancelled') {
      throw new DemoError(`evaluation job ${job.id} is ${status}: ${details.message ?? 'no reason given'}`)
    }
    await sleep(POLL_MS)
  }
  const result = await json<EvaluationResult>(`${base}/${job.id}/results`)
  return { job: job.id, scores: scoresOf(result) }
}

function configOf({ filesUrl, maxTokens }: EvaluationRequest) {
  return {
    type: 'custom',
    params: { parallelism: PARALLEL },
    tasks: {
      [TASK]: {
        type: 'chat-completion',
        dataset: { files_url: filesUrl },
        params: {
          template: {
            messages: [{ role: 'user', content: '{{item.messages[0].content}}' }],
            temperature: 0,
            seed: 0,
            max_tokens: maxTokens,
          },
        },
        metrics: {
          f1: { type: 'f1', params: { ground_truth: REFERENCE } },
          rouge: { type: 'rouge', params: { ground_truth: REFERENCE } },
          exact: { type: 'em', params: { ground_truth: REFERENCE } },
          contains: {
            type: 'string-check',
            params: {
              check: [`{{sample.output_text | lower}}`, 'contains', `{{item.messages[1].content | lower}}`],
            },
          },
        },
      },
    },
  }
}

function scoresOf({ tasks }: EvaluationResult): Scores {
  const metrics = tasks[TASK]?.metrics ?? {}
  const of = (metric: string, name: RegExp) => {
    const found = Object.entries(metrics[metric]?.scores ?? {}).find(([key]) => name.test(key))?.[1]
    if (found?.value === undefined || found.value === null)
      throw new DemoError(`the evaluation has no ${metric}`)
    return { value: found.value, stats: found.stats }
  }
  const f1 = of('f1', /./)
  return {
    rows: f1.stats?.count ?? 0,
    f1: f1.value,
    f1Error: f1.stats?.stderr ?? 0,
    rougeL: of('rouge', /L/).value,
    exact: of('exact', /./).value,
    contains: of('contains', /./).value,
  }
}
