// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { EngineServices, Rail } from '../engine/compiled.ts'
import { runColangRail } from '../engine/dialog-turn.ts'
import type { DialogEngine, Stage } from '../engine/types.ts'
import type { ModelEndpoint } from '../models/resolve.ts'
import type { TaskPrompt } from '../prompts/tasks.ts'
import { type FlowReference, parseFlow, railKind, unknownRail } from '../rails/index.ts'

export interface RailSources {
  data: ConfigData
  models: ReadonlyMap<string, ModelEndpoint>
  prompts: ReadonlyMap<string, TaskPrompt>
  dialog: DialogEngine | undefined
  services: EngineServices
  place: (text: string, key: string, message: string) => void
}

const STAGES: readonly Stage[] = ['input', 'output', 'retrieval', 'tool_input', 'tool_output']

/** Makes the rails of each stage ready, in the order of the configuration; what cannot be is placed as a problem. */
export function compileRails(on: RailSources): Record<Stage, Rail[]> {
  const rails = Object.fromEntries(
    STAGES.map((stage) => {
      const flows = [...new Set([...(on.data.rails?.[stage]?.flows ?? []), ...namedByColang(on, stage)])]
      const made = flows.flatMap((flow) => {
        try {
          return [compileRail(on, stage, flow)]
        } catch (err) {
          on.place(flow, stage, `rails.${stage}.flows: ${err instanceof Error ? err.message : err}`)
          return []
        }
      })
      return [stage, made]
    }),
  ) as Record<Stage, Rail[]>
  for (const name of Object.keys(on.data.rails?.config?.rail_options ?? {})) {
    if (
      !STAGES.some((stage) => rails[stage].some((r) => isNamed(r.flow, name))) &&
      !railKind(parseFlow(name).name)
    )
      on.place(name, 'rail_options', `rail_options names "${name}", which is no rail of this configuration`)
  }
  return rails
}

/** Colang 2.x has rails by the names of their flows alone. */
function namedByColang({ data, dialog }: RailSources, stage: Stage): string[] {
  if (!data.colang_version?.startsWith('2') || (stage !== 'input' && stage !== 'output')) return []
  const flow = `${stage} rails`
  return dialog?.flows.has(flow) ? [flow] : []
}

const isNamed = (flow: string, name: string) => flow === name || parseFlow(flow).name === name

/** Makes one rail ready. Throws with what the configuration lacks for it. */
export function compileRail(on: RailSources, stage: Stage, flow: string): Rail {
  const reference = parseFlow(flow)
  const limits = limitsOf(on, flow, reference)
  // A flow of the user's own goes before the engine's of the same name, as in the toolkit.
  if (on.dialog?.flows.has(reference.name)) {
    const { dialog } = on
    return {
      ...limits,
      flow,
      stage,
      usesModel: true,
      transforms: true,
      run: (call) => runColangRail(dialog, reference.name, call),
    }
  }
  const kind = railKind(reference.name)
  if (!kind) throw new Error(unknownRail(reference.name))
  if (!kind.stages.includes(stage))
    throw new Error(`"${reference.name}" is a rail of ${kind.stages.join(' and ')}, not of ${stage}`)
  const run = kind.prepare({
    stage,
    params: reference.params,
    data: on.data,
    services: on.services,
    prompt(task) {
      const prompt = on.prompts.get(task)
      if (prompt) return prompt
      throw new Error(`the rail "${flow}" needs a prompt: add one of task "${task}" to prompts`)
    },
    needModel(type) {
      if (!on.models.has(type) && !on.data.models.some((m) => m.type === type))
        throw new Error(`the rail "${flow}" needs a model of type "${type}" in models`)
    },
  })
  return { ...limits, flow, stage, usesModel: kind.usesModel, transforms: kind.transforms ?? false, run }
}

function limitsOf({ data, services }: RailSources, flow: string, { name }: FlowReference) {
  const all = data.rails?.config?.rail_options ?? {}
  const options = all[flow] ?? all[name]
  return {
    onError: options?.on_error ?? ('block' as const),
    timeoutMs: options?.timeout ? options.timeout * 1000 : services.railTimeoutMs,
  }
}
