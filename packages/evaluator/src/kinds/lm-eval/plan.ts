// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { ConfigSpec, EvaluationDataset, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { REFUSED } from '../refused.ts'
import { type LocalTask, localTask } from './local-task.ts'
import { type HarnessTask, harnessTask, isHarness } from './names.ts'

/** One entry of a config's tasks as lm-eval runs it. */
export interface PlannedTask {
  /** Its name in the config and in the results. */
  name: string
  /** Parameters of this task alone; they go before those of the config. */
  params: Record<string, unknown>
  harness: HarnessTask
  /** Of a task on rows of the user's own. */
  local?: { task: LocalTask; dataset: EvaluationDataset; fewshot: EvaluationDataset | undefined }
}

/** The tasks of a config. Throws UNSUPPORTED_TASK and CONFIG_INVALID with the reason. */
export function planTasks(config: ConfigSpec): PlannedTask[] {
  const given = Object.entries(config.tasks ?? {})
  if (given.length > 0) return given.map(([name, task]) => planTask(name, task, config.type))
  if (isHarness(config.type)) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is no task' })
  return [planTask(config.type, { type: config.type }, config.type)]
}

function planTask(name: string, task: TaskConfig, configType: string): PlannedTask {
  const params = task.params ?? {}
  if (task.dataset) {
    const local = localTask(name, task)
    const { output_type } = local.yaml
    const isGenerated = output_type === 'generate_until'
    const harness = { name, isGenerated, isScored: !isGenerated, isUnsafe: false, isGroup: false }
    const fewshot = params.fewshot_dataset as EvaluationDataset | undefined
    return { name, params, harness, local: { task: local, dataset: task.dataset, fewshot } }
  }
  const asked = typeof params.task === 'string' ? params.task : task.type
  const candidates = [asked, ...(isHarness(asked) || asked === configType ? [name, configType] : [])]
  const found = candidates.map((one) => harnessTask(one)).find((one) => one !== undefined)
  const refused = REFUSED.find((one) => candidates.some((type) => one.pattern.test(type)))
  const reason = refused?.reason ?? (found?.isUnsafe ? CODE : found ? undefined : UNKNOWN)
  if (found && !reason) return { name, params, harness: found }
  throw errors.UNSUPPORTED_TASK({
    task: name,
    type: asked,
    reason: reason ?? UNKNOWN,
    known:
      'the tasks, groups and tags of lm-eval 0.4.13 by their names, and tasks with a dataset of your own',
    field: `tasks.${name}.type`,
  })
}

const CODE = 'it runs code that a model wrote, which this platform does not confine'
const UNKNOWN = 'lm-eval 0.4.13 has no task of this name'
