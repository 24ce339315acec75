// SPDX-License-Identifier: Apache-2.0
import type { TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { buildMetric, toolCallsIn } from '../../metrics/build.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import type { Metric, MetricInput } from '../../metrics/types.ts'
import type { EvaluationTask, RunContext, Sample, SampleResult } from '../types.ts'
import { asItem } from './columns.ts'
import type { TaskType } from './kind.ts'
import { askModel, outputOf } from './sample.ts'
import { numbered, zipped } from './source.ts'

/** A task of a custom evaluation: rows, asked of the model or taken as they are, and scored by its metrics. */
export async function createCustomTask(args: {
  name: string
  task: TaskConfig
  type: TaskType
  ctx: RunContext
}): Promise<EvaluationTask> {
  const { name, task, type, ctx } = args
  const { target } = ctx.request
  const metrics = new Map<string, Metric>()
  for (const [metric, config] of Object.entries(task.metrics ?? {})) {
    metrics.set(metric, await buildMetric(config, ctx))
  }
  const ask =
    target.type === 'model' && target.model
      ? askModel({ task, type, ctx, model: await ctx.model(target.model) })
      : undefined
  return {
    name,
    total: target.rows && target.type === 'rows' ? target.rows.length : limitOf(task),
    samples: () => source(task, ctx),
    async evaluate({ item: row, recorded }) {
      const answer = ask ? await ask(row) : outputOf(recorded ?? row)
      const item = asItem(row)
      const input: MetricInput = {
        context: { ...item, ...answer.sample, item, sample: answer.sample },
        output: answer.text,
        toolCalls: toolCallsIn(answer.sample),
      }
      return await scoreAll(metrics, input, answer.shown)
    },
    async summarize(records) {
      const gathered = new Map<string, unknown[]>()
      const results = await summarizeScores(records, ({ data }) => {
        for (const [metric, value] of Object.entries(data ?? {})) {
          const list = gathered.get(metric) ?? []
          list.push(value)
          gathered.set(metric, list)
        }
      })
      for (const [metric, { corpus }] of metrics) {
        const data = gathered.get(metric)
        if (!corpus || !data) continue
        for (const [score, value] of Object.entries(corpus(data))) {
          results[metric] = { scores: { ...results[metric]?.scores, [score]: { value } } }
        }
      }
      return { metrics: results }
    },
  }
}

function limitOf(task: TaskConfig): number | undefined {
  return typeof task.dataset === 'object' ? task.dataset?.limit || undefined : undefined
}

/** Rows of the target, of the task's dataset, or both side by side: what was recorded beside what was asked. */
async function* source(task: TaskConfig, ctx: RunContext): AsyncGenerator<Sample> {
  const { target } = ctx.request
  if (target.type === 'rows') {
    for (const [index, item] of (target.rows ?? []).entries()) yield { index, item }
    return
  }
  const recorded =
    target.type === 'cached_outputs'
      ? target.cached_outputs
      : target.type === 'dataset'
        ? target.dataset
        : undefined
  if (recorded && task.dataset) yield* zipped(ctx.rows(task.dataset), ctx.rows(recorded))
  else if (recorded) yield* numbered(ctx.rows(recorded))
  else if (task.dataset) yield* numbered(ctx.rows(task.dataset))
}

async function scoreAll(
  metrics: Map<string, Metric>,
  input: MetricInput,
  asked: Record<string, string>,
): Promise<SampleResult> {
  const scores: SampleResult['scores'] = {}
  const shown: Record<string, string> = { ...asked }
  const data: Record<string, unknown> = {}
  // Metrics that ask a judge wait side by side.
  await Promise.all(
    [...metrics].map(async ([name, metric]) => {
      const out = await metric.score(input)
      scores[name] = out.scores
      if (out.data !== undefined) data[name] = out.data
      if (out.shown?.judge) shown[`judge ${name}`] = out.shown.judge
      if (out.shown?.reference) shown.reference ??= out.shown.reference
    }),
  )
  return { scores, shown, ...(Object.keys(data).length > 0 ? { data } : {}) }
}
