// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { TargetSpec, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { checkMetric } from '../../metrics/build.ts'
import { REFUSED } from '../refused.ts'
import type { CheckContext, EvaluationKind, EvaluationRequest, EvaluationTask, RunContext } from '../types.ts'
import { createCustomTask } from './task.ts'

const TASKS = ['chat-completion', 'completion', 'data'] as const
const TARGETS = ['model', 'cached_outputs', 'rows', 'dataset']

/** Evaluations that users compose: prompts, data and metrics of their own. */
export const customKind: EvaluationKind = {
  name: 'custom',
  types: ['custom'],
  handles: (type) => type === 'custom',
  async check(request, ctx) {
    const { target, config } = request
    const tasks = Object.entries(config.tasks ?? {})
    if (tasks.length === 0) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is no task' })
    if (!TARGETS.includes(target.type)) {
      throw errors.UNSUPPORTED_TARGET({
        target: target.type,
        what: 'a custom evaluation',
        known: TARGETS.join(', '),
      })
    }
    for (const [name, task] of tasks) await checkTask(name, task, request, ctx)
    await checkTarget(target, ctx)
  },
  tasks: (ctx) => buildTasks(ctx),
}

async function checkTask(
  name: string,
  task: TaskConfig,
  { target }: EvaluationRequest,
  ctx: CheckContext,
): Promise<void> {
  const where = `tasks.${name}`
  const type = taskType(task.type)
  if (!type) {
    const reason =
      REFUSED.find((one) => one.pattern.test(task.type))?.reason ?? 'it is not a type of custom task'
    throw errors.UNSUPPORTED_TASK({
      task: name,
      type: task.type,
      reason,
      known: TASKS.join(', '),
      field: `${where}.type`,
    })
  }
  const bad = (reason: string) => errors.CONFIG_INVALID({ where, reason, field: where })
  const asks = type !== 'data' && target.type === 'model'
  if (type === 'data' && target.type === 'model') {
    throw errors.UNSUPPORTED_TARGET({
      target: 'model',
      what: `task ${name} of type data`,
      known: 'rows, dataset, cached_outputs',
    })
  }
  if (asks && !task.dataset) throw bad('dataset is missing: the rows to ask the model about')
  if (type === 'completion' && asks && promptTemplate(task) === undefined) {
    throw bad('params.template is missing: the prompt of a completion')
  }
  const template = promptTemplate(task)
  if (template !== undefined) await ctx.template(template, `${where}.params.template`)
  const metrics = Object.entries(task.metrics ?? {})
  if (metrics.length === 0) throw bad('there is no metric')
  for (const [metric, config] of metrics) await checkMetric(config, `${where}.metrics.${metric}`, ctx)
  if (task.dataset) await ctx.dataset(task.dataset, `${where}.dataset`)
}

async function checkTarget(target: TargetSpec, ctx: CheckContext): Promise<void> {
  if (target.type === 'model' && target.model) await ctx.model(target.model, 'model')
  if (target.type === 'dataset' && target.dataset) await ctx.dataset(target.dataset, 'dataset')
  if (target.type === 'cached_outputs' && target.cached_outputs) {
    await ctx.dataset(target.cached_outputs, 'cached_outputs')
  }
}

async function buildTasks(ctx: RunContext): Promise<EvaluationTask[]> {
  const tasks: EvaluationTask[] = []
  for (const [name, task] of Object.entries(ctx.request.config.tasks ?? {})) {
    tasks.push(await createCustomTask({ name, task, type: taskType(task.type) ?? 'data', ctx }))
  }
  return tasks
}

export type TaskType = (typeof TASKS)[number]

function taskType(type: string): TaskType | undefined {
  const spelled = type.toLowerCase().replaceAll('_', '-')
  return TASKS.find((one) => one === spelled || (one === 'chat-completion' && spelled === 'chat'))
}

/** The template of a task's prompt. */
export function promptTemplate(task: TaskConfig): unknown {
  return task.params?.template ?? undefined
}
