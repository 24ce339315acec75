// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { MetricResult } from '@open-nemo/contract/evaluation/results.ts'
import type { TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { type BleuStats, bleuStats, corpusBleu } from '../../metrics/bleu.ts'
import { metricType } from '../../metrics/build.ts'
import { rouge } from '../../metrics/rouge.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import { accuracy, exactMatch, tokenF1 } from '../../metrics/text.ts'
import { askModel, outputOf } from '../custom/sample.ts'
import { numbered, zipped } from '../custom/source.ts'
import type { CheckContext, EvaluationKind, EvaluationTask, Row, RunContext, Sample } from '../types.ts'

const METRICS = ['accuracy', 'bleu', 'rouge', 'exact-match', 'f1']
const TARGETS = ['model', 'cached_outputs', 'rows', 'dataset']
const REFERENCES = [
  'ideal_response',
  'reference',
  'ground_truth',
  'reference_answer',
  'expected_output',
  'label',
]

/** How near outputs are to references: metrics without parameters over rows of known fields. */
export const similarityKind: EvaluationKind = {
  name: 'similarity_metrics',
  types: ['similarity_metrics'],
  handles: (type) => /^similarity[-_]metrics$/.test(type),
  async check({ target, config }, ctx) {
    const tasks = Object.entries(config.tasks ?? {})
    if (tasks.length === 0) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is no task' })
    if (!TARGETS.includes(target.type)) {
      const what = 'an evaluation of similarity metrics'
      throw errors.UNSUPPORTED_TARGET({ target: target.type, what, known: TARGETS.join(', ') })
    }
    for (const [name, task] of tasks) await checkTask(name, task, target.type === 'model', ctx)
    if (target.type === 'model' && target.model) await ctx.model(target.model, 'model')
    if (target.type === 'cached_outputs' && target.cached_outputs) {
      await ctx.dataset(target.cached_outputs, 'cached_outputs')
    }
    if (target.type === 'dataset' && target.dataset) await ctx.dataset(target.dataset, 'dataset')
  },
  async tasks(ctx) {
    const tasks: EvaluationTask[] = []
    for (const [name, task] of Object.entries(ctx.request.config.tasks ?? {}))
      tasks.push(await createTask(name, task, ctx))
    return tasks
  },
  /** The scores of all tasks stand together in one group, as the API's examples have them. */
  groups(tasks) {
    const scores: NonNullable<MetricResult['scores']> = {}
    for (const { metrics } of Object.values(tasks)) {
      for (const metric of Object.values(metrics ?? {})) Object.assign(scores, metric.scores)
    }
    return { evaluation: { metrics: { evaluation: { scores } } } }
  },
}

async function checkTask(name: string, task: TaskConfig, asks: boolean, ctx: CheckContext): Promise<void> {
  const where = `tasks.${name}`
  const metrics = Object.entries(task.metrics ?? {})
  if (metrics.length === 0) throw errors.CONFIG_INVALID({ where, reason: 'there is no metric' })
  for (const [metric, { type }] of metrics) {
    if (METRICS.includes(metricType(type) ?? '')) continue
    throw errors.UNSUPPORTED_METRIC({ metric, task: name, type, known: METRICS.join(', ') })
  }
  if (task.dataset) await ctx.dataset(task.dataset, `${where}.dataset`)
  else if (asks)
    throw errors.CONFIG_INVALID({ where, reason: 'dataset is missing: the rows to ask the model about' })
}

async function createTask(name: string, task: TaskConfig, ctx: RunContext): Promise<EvaluationTask> {
  const { target } = ctx.request
  const metrics = Object.entries(task.metrics ?? {}).map(([metric, { type }]) => ({
    metric,
    type: metricType(type) ?? type,
  }))
  const ask =
    target.type === 'model' && target.model
      ? askModel({
          task: withoutTemplate(task),
          type: 'chat-completion',
          ctx,
          model: await ctx.model(target.model),
        })
      : undefined
  return {
    name,
    total: target.type === 'rows' ? target.rows?.length : undefined,
    samples: () => source(task, ctx),
    async evaluate({ item, recorded }) {
      const answer = ask ? await ask(item) : outputOf(recorded ?? item)
      const reference = referenceOf(item)
      const scores: Record<string, Record<string, number>> = {}
      const data: Record<string, unknown> = {}
      for (const { metric, type } of metrics) {
        if (type === 'bleu') data[metric] = bleuStats(answer.text, [reference])
        else scores[metric] = compare(type, reference, answer.text)
      }
      return { scores, data, shown: { ...answer.shown, reference } }
    },
    async summarize(records) {
      const stats = new Map<string, BleuStats[]>()
      const results = await summarizeScores(records, ({ data }) => {
        for (const [metric, value] of Object.entries(data ?? {})) {
          const list = stats.get(metric) ?? []
          list.push(value as BleuStats)
          stats.set(metric, list)
        }
      })
      for (const [metric, all] of stats)
        results[metric] = { scores: { bleu_score: { value: corpusBleu(all) } } }
      return { metrics: results }
    },
  }
}

/** Scores under the names that results of the API have; two of them come in two spellings. */
function compare(type: string, reference: string, output: string): Record<string, number> {
  if (type === 'rouge') return rouge(reference, output)
  if (type === 'accuracy') return { accuracy: accuracy(reference, output) }
  if (type === 'f1') {
    const f1 = tokenF1(reference, output)
    return { f1_score: f1, f1 }
  }
  const em = exactMatch(reference, output)
  return { em_score: em, em }
}

async function* source(task: TaskConfig, ctx: RunContext): AsyncGenerator<Sample> {
  const { target } = ctx.request
  if (target.type === 'rows') {
    for (const [index, item] of (target.rows ?? []).entries()) yield { index, item }
    return
  }
  const recorded = target.type === 'dataset' ? target.dataset : target.cached_outputs
  if (target.type === 'model' && task.dataset) yield* numbered(ctx.rows(task.dataset))
  else if (recorded && task.dataset) yield* zipped(ctx.rows(task.dataset), ctx.rows(recorded))
  else if (recorded) yield* numbered(ctx.rows(recorded))
}

function referenceOf(item: Row): string {
  const key = REFERENCES.find((name) => item[name] !== undefined && item[name] !== null)
  if (key === undefined) throw new Error(`the row has no reference: one of ${REFERENCES.join(', ')}`)
  const value = item[key]
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Rows are asked as they are: these tasks know no templates. */
function withoutTemplate(task: TaskConfig): TaskConfig {
  const { template: _, ...params } = task.params ?? {}
  return { ...task, params }
}
