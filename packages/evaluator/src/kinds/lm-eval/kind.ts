// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { GroupResult, TaskResult } from '@open-nemo/contract/evaluation/results.ts'
import type { EvaluationDataset, EvaluationModel } from '@open-nemo/contract/evaluation/schemas.ts'
import type { CheckContext, EvaluationKind, EvaluationRequest } from '../types.ts'
import { isHandled } from './names.ts'
import { endpointOf } from './options.ts'
import { type PlannedTask, planTasks } from './plan.ts'
import { whyNoPython } from './python.ts'
import { harnessTaskOf } from './task.ts'

/** Benchmarks of lm-evaluation-harness, and tasks in its form on data of the user's own, by the real lm-eval. */
export const lmEvalKind: EvaluationKind = {
  name: 'lm-eval',
  types: ['lm-evaluation-harness', 'names of lm-eval tasks such as gsm8k, mmlu, ifeval'],
  handles: isHandled,
  async check(request, ctx) {
    const { target, config } = request
    if (target.type !== 'model' || !target.model) {
      throw errors.UNSUPPORTED_TARGET({ target: target.type, what: config.type, known: 'model' })
    }
    const tasks = planTasks(config)
    for (const task of tasks) await checkTask(task, request, target.model, ctx)
    const missing = await whyNoPython(ctx.settings.env)
    if (missing) {
      throw errors.UNSUPPORTED_EVALUATION({
        type: config.type,
        reason: `lm-eval needs Python: ${missing}`,
        known: 'all other types',
        field: 'type',
      })
    }
    await ctx.model(target.model, 'model')
  },
  tasks: async (ctx) => planTasks(ctx.request.config).map((task, i) => harnessTaskOf(ctx, task, i)),
  groups,
}

async function checkTask(
  { name, harness, local }: PlannedTask,
  { config }: EvaluationRequest,
  model: EvaluationModel,
  ctx: CheckContext,
): Promise<void> {
  const where = `tasks.${name}`
  if (harness.isScored && endpointOf(urlOf(model)) === 'chat') {
    throw errors.CONFIG_INVALID({
      where,
      reason:
        'its answers are scored by their log-probabilities, which chat completions do not tell: give the base URL of the model or its /v1/completions',
      field: where,
    })
  }
  const tokenizer = config.params?.extra?.tokenizer
  if (tokenizer !== undefined && tokenizer !== null && !/^[\w.-]+(\/[\w.-]+)?$/.test(String(tokenizer))) {
    const field = 'params.extra.tokenizer'
    throw errors.CONFIG_INVALID({ where: field, reason: 'must be a repository of the hub', field })
  }
  if (!local) return
  await ctx.dataset(local.dataset, `${where}.dataset`)
  if (local.fewshot) await ctx.dataset(local.fewshot as EvaluationDataset, `${where}.params.fewshot_dataset`)
  // lm-eval's Jinja is another implementation: only what ours can parse too is taken.
  for (const { value, where } of local.task.templates) await ctx.template(value, where)
}

function urlOf(model: EvaluationModel): string {
  if (typeof model === 'string') return ''
  return model.api_endpoint?.url ?? (typeof model.url === 'string' ? model.url : '')
}

/** Groups and tags with all their parts; lm-eval computed them, and each task's data has them. */
function groups(tasks: Record<string, TaskResult>): Record<string, GroupResult> {
  const found: Record<string, GroupResult> = {}
  for (const [name, { data }] of Object.entries(tasks)) {
    if (data?.group) found[name] = data.group as GroupResult
  }
  return found
}
