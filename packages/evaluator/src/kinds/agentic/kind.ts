// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationDataset, TargetSpec, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import { checkJudge, createJudge, type Judge } from '../judge/judge.ts'
import type { EvaluationKind, EvaluationTask, Row, RunContext, SampleResult } from '../types.ts'
import { AGENTIC_METRICS, type AgenticMetric } from './metrics.ts'

const KNOWN = Object.keys(AGENTIC_METRICS).join(', ')

/** What agents did, from their logged conversations: tool calls, goals, topics, answers and trajectories. */
export const agenticKind: EvaluationKind = {
  name: 'agentic',
  types: ['agentic'],
  handles: (type) => type === 'agentic',
  async check({ target, config }, ctx) {
    const tasks = Object.entries(config.tasks ?? {})
    if (tasks.length === 0) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is none' })
    for (const [name, task] of tasks) {
      const metrics = metricsOf(name, task)
      if (metrics.some(({ metric }) => metric.needsJudge)) await checkJudge(ctx, name, task)
      const set = rowsOf(target, task)
      if (set === undefined) {
        throw errors.UNSUPPORTED_TARGET({
          target: target.type,
          what: `task ${name} of type agentic`,
          known: 'cached_outputs, dataset or rows',
        })
      }
      if (!Array.isArray(set)) await ctx.dataset(set, `tasks.${name}.dataset`)
    }
  },
  tasks: async (ctx) =>
    Object.entries(ctx.request.config.tasks ?? {}).map(([name, task]) => agenticTask(ctx, name, task)),
}

interface Named {
  name: string
  metric: AgenticMetric
  params: Row
}

/** The metrics of a task: those it lists, or the one that its type names. Throws for unknown ones. */
function metricsOf(name: string, task: TaskConfig): Named[] {
  const listed = Object.entries(task.metrics ?? {})
  const params = (task.params ?? {}) as Row
  if (listed.length === 0) {
    const metric = find(task.type)
    if (metric) return [{ name: metric.score, metric, params }]
    const reason = 'it is no metric, and the task lists none'
    throw errors.UNSUPPORTED_TASK({ task: name, type: task.type, reason, known: KNOWN })
  }
  return listed.map(([key, { type, params: own }]) => {
    // A metric may be listed under its own name, whatever its type says.
    const metric = find(type) ?? find(key) ?? find(task.type)
    if (!metric) throw errors.UNSUPPORTED_METRIC({ metric: key, task: name, type, known: KNOWN })
    return { name: key, metric, params: { ...params, ...own } }
  })
}

const find = (type: string) => (Object.hasOwn(AGENTIC_METRICS, type) ? AGENTIC_METRICS[type] : undefined)

function rowsOf(target: TargetSpec, task: TaskConfig): Row[] | EvaluationDataset | undefined {
  if (target.type === 'rows') return target.rows ?? undefined
  if (target.type === 'dataset') return target.dataset ?? undefined
  if (target.type === 'cached_outputs') return target.cached_outputs ?? undefined
  return task.dataset ?? undefined
}

function agenticTask(ctx: RunContext, name: string, task: TaskConfig): EvaluationTask {
  const metrics = metricsOf(name, task)
  const set = rowsOf(ctx.request.target, task) ?? []
  let judge: Judge | undefined
  return {
    name,
    ...(Array.isArray(set) && { total: set.length }),
    async prepare() {
      if (metrics.some(({ metric }) => metric.needsJudge)) judge = await createJudge(ctx, name, task)
    },
    async *samples() {
      let index = 0
      if (Array.isArray(set)) for (const item of set) yield { index: index++, item }
      else for await (const item of ctx.rows(set)) yield { index: index++, item }
    },
    async evaluate({ item }) {
      const scores: SampleResult['scores'] = {}
      for (const { name: key, metric, params } of metrics) {
        scores[key] = { [metric.score]: await metric.evaluate(item, judge, params) }
      }
      return { scores, shown: shownOf(item) }
    },
    summarize: async (records) => ({ metrics: await summarizeScores(records) }),
  }
}

function shownOf(item: Row): Record<string, string> {
  const parts = {
    input: item.user_input ?? item.question,
    output: item.response ?? item.generated_answer,
    reference: item.reference ?? item.reference_tool_calls ?? item.answer,
  }
  return Object.fromEntries(
    Object.entries(parts).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, typeof value === 'string' ? value : JSON.stringify(value)]],
    ),
  )
}
