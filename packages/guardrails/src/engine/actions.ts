// SPDX-License-Identifier: Apache-2.0
import { postJson } from '../models/client.ts'
import { RAIL_KINDS } from '../rails/index.ts'
import type { Turn } from './compiled.ts'
import { stageText } from './dialog-turn.ts'
import type { RailLog } from './recorder.ts'
import type { RailResult, Stage } from './types.ts'

export interface ActionRun {
  turn: Turn
  log: RailLog
  signal: AbortSignal
  stage: Stage
  name: string
  parameters: Record<string, unknown>
}

/** Runs an action of a flow: one of the engine's own, or of the configuration's actions server. */
export async function runAction(run: ActionRun): Promise<unknown> {
  const { turn, name } = run
  if (name === 'retrieve_relevant_chunks') {
    const chunks =
      turn.variables.relevant_chunks ?? turn.config.retrieve(String(turn.variables.user_message ?? ''))
    turn.variables.relevant_chunks = chunks
    return chunks
  }
  const flow = railOf(run)
  if (flow) return railValue(name, await runRailAction(run, flow), String(run.parameters.text ?? ''))
  return runOnServer(run)
}

/** The rail behind an action, which goes by the action's name and `source`. */
function railOf({ name, parameters, stage }: ActionRun): string | undefined {
  const source = parameters.source ?? (stage === 'output' ? 'output' : 'input')
  const kind = RAIL_KINDS.find(
    (k) => k.action === name && (!('source' in parameters) || k.name.endsWith(` ${source}`)),
  )
  if (!kind) return undefined
  const model = parameters.model_name ?? parameters.model
  return typeof model === 'string' && model !== 'llama_guard' ? `${kind.name} $model=${model}` : kind.name
}

async function runRailAction(run: ActionRun, flow: string): Promise<RailResult> {
  const { turn, log, signal, parameters } = run
  const kind = RAIL_KINDS.find((k) => k.action === run.name)
  const stage = kind && !kind.stages.includes(run.stage) ? (kind.stages[0] ?? run.stage) : run.stage
  const rail = turn.config.railNamed(flow, stage)
  if (!rail) throw new Error(`the action ${run.name} has no rail "${flow}"`)
  const text = typeof parameters.text === 'string' ? parameters.text : stageText(turn, stage)
  return rail.run({ text, stage, turn, log, signal })
}

/** What flows expect of each action: most want to know whether the text is allowed. */
function railValue(name: string, result: RailResult, text: string): unknown {
  const isBlocked = result.decision === 'block'
  switch (name) {
    case 'self_check_input':
    case 'self_check_output':
      return !isBlocked
    case 'self_check_facts':
      return isBlocked ? 0 : 1
    case 'self_check_hallucination':
    case 'detect_sensitive_data':
    case 'jailbreak_detection_heuristics':
    case 'jailbreak_detection_model':
      return isBlocked
    case 'mask_sensitive_data':
      return result.text ?? text
    case 'topic_safety_check_input':
      return { on_topic: !isBlocked }
    default:
      return {
        allowed: !isBlocked,
        is_blocked: isBlocked,
        policy_violations: [],
        text: result.text ?? text,
        ...result.metadata,
      }
  }
}

/** Runs an action on the configuration's actions server. */
async function runOnServer(run: ActionRun): Promise<unknown> {
  const { turn, name, parameters, signal } = run
  const base = turn.config.data.actions_server_url
  if (!base) throw new Error(`the action "${name}" is not known, and there is no actions_server_url`)
  const response = await postJson({
    url: `${base.replace(/\/+$/, '')}/v1/actions/run`,
    model: `action ${name}`,
    body: { action_name: name, action_parameters: parameters },
    key: undefined,
    signal,
    fetch: turn.services.fetch,
  })
  const said = (await response.json()) as { status?: string; result?: unknown }
  if (said?.status !== undefined && said.status !== 'success')
    throw new Error(`the action "${name}" ended with status ${said.status}`)
  return said?.result ?? null
}
