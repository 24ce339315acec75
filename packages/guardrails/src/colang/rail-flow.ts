// SPDX-License-Identifier: Apache-2.0
import type { DialogTurn, RailResult, Stage } from '../engine/types.ts'
import { type CompiledFlow, RAIL_ACTION, type Step } from './compile.ts'
import { evaluate, text, truthy } from './evaluate.ts'
import type { Variables } from './expression.ts'
import { type Flows, RunawayFlowError } from './machine.ts'
import { renderText } from './render.ts'
import { toValue } from './values.ts'

/** The variable that a rail of a stage is about; when a flow sets it, the text is replaced. */
const SUBJECT: Partial<Record<Stage, string>> = {
  input: 'user_message',
  output: 'bot_message',
  retrieval: 'relevant_chunks',
  tool_input: 'tool_message',
}
const MAX_STEPS = 10_000
const MAX_CALLS = 30

interface Run {
  flows: Flows
  bots: ReadonlyMap<string, readonly string[]>
  turn: DialogTurn
  variables: Variables
  said: { intent: string; text: string }[]
  exception?: { type: string; message: string }
  steps: number
}

/** Runs a flow of a configuration as a rail: it blocks when it comes to `stop`, and what it said is the answer. */
export async function runRailFlow(
  { flows, bots, turn }: Pick<Run, 'flows' | 'bots' | 'turn'>,
  name: string,
  stage: Stage,
): Promise<RailResult> {
  const flow = flows.get(name)
  if (!flow) throw new Error(`no flow ${name}`)
  const run: Run = { flows, bots, turn, variables: readVariables(turn), said: [], steps: 0 }
  const subject = SUBJECT[stage]
  const before = subject === undefined ? undefined : run.variables[subject]
  const result = await runFlow(run, flow, 0)
  writeVariables(turn, run.variables)
  if (result !== 'end') return result === 'stop' ? blocked(run, name) : result
  const after = subject === undefined ? undefined : run.variables[subject]
  const metadata = run.said.length > 0 ? { metadata: { said: run.said.map((one) => one.text) } } : {}
  if (after !== before && typeof after === 'string')
    return { decision: 'transform', text: after, ...metadata }
  return { decision: 'allow', ...metadata }
}

function blocked(run: Run, name: string): RailResult {
  const last = run.said.at(-1)
  const message = run.said.map((one) => one.text).join('\n')
  return {
    decision: 'block',
    reason: `flow ${name} stopped the turn`,
    ...(message !== '' && { message }),
    ...(last && { botIntent: last.intent }),
    ...(run.exception && { metadata: { exception: run.exception } }),
  }
}

type End = 'end' | 'stop' | RailResult

async function runFlow(run: Run, flow: CompiledFlow, depth: number): Promise<End> {
  if (depth > MAX_CALLS) throw new RunawayFlowError(`flow ${flow.name} calls itself without end`)
  for (let at = 0; ; ) {
    run.turn.signal.throwIfAborted()
    run.steps += 1
    if (run.steps > MAX_STEPS)
      throw new RunawayFlowError(`flow ${flow.name} took more than ${MAX_STEPS} steps`)
    const step = flow.steps[at]
    if (step === undefined) return 'end'
    if (step.kind === 'jump') at = step.to
    else if (step.kind === 'unless') at = truthy(evaluate(step.test, run.variables)) ? at + 1 : step.to
    else {
      const end = await runStep(run, step, depth)
      if (end !== 'go on') return end
      at += 1
    }
  }
}

async function runStep(run: Run, step: Step, depth: number): Promise<End | 'go on'> {
  switch (step.kind) {
    case 'set':
      run.variables[step.variable] = evaluate(step.value, run.variables)
      return 'go on'
    case 'bot': {
      const template =
        step.text ?? run.bots.get(step.intent)?.[0] ?? spokenVariable(run, step.intent) ?? step.intent
      run.said.push({ intent: step.intent, text: renderText(template, run.variables) })
      run.turn.decide(step.intent)
      return 'go on'
    }
    case 'action':
      return step.name.startsWith(RAIL_ACTION)
        ? otherRail(run, step.name.slice(RAIL_ACTION.length))
        : action(run, step)
    case 'create':
      if (step.name.endsWith('Exception')) {
        run.exception = { type: step.name, message: field(run, step.fields.message) }
      }
      return 'go on'
    case 'do':
      return call(run, step, depth)
    case 'stop':
      run.turn.decide('stop')
      return 'stop'
    default:
      // A rail does not wait for anybody: what the flow does after the user's next words is no part of it.
      return 'end'
  }
}

function spokenVariable(run: Run, intent: string): string | undefined {
  if (!intent.startsWith('$')) return undefined
  const value = run.variables[intent.slice(1)]
  return value === undefined ? undefined : text(value)
}

const field = (run: Run, value: Parameters<typeof evaluate>[0] | undefined) =>
  value === undefined ? '' : text(evaluate(value, run.variables))

async function action(run: Run, step: Extract<Step, { kind: 'action' }>): Promise<'go on'> {
  const parameters = Object.fromEntries(
    Object.entries(step.parameters).map(([key, value]) => [key, evaluate(value, run.variables)]),
  )
  run.turn.decide(`execute ${step.name}`)
  writeVariables(run.turn, run.variables)
  const value = toValue(await run.turn.execute(step.name, parameters))
  // An action may have changed variables too, such as the text that it masked.
  run.variables = readVariables(run.turn)
  if (step.result !== undefined) run.variables[step.result] = value
  return 'go on'
}

async function otherRail(run: Run, flow: string): Promise<End | 'go on'> {
  writeVariables(run.turn, run.variables)
  const result = await run.turn.runRail(flow)
  if (result?.decision === 'block') return result
  run.variables = readVariables(run.turn)
  return 'go on'
}

async function call(run: Run, step: Extract<Step, { kind: 'do' }>, depth: number): Promise<End | 'go on'> {
  const name = step.flow.startsWith('$') ? text(run.variables[step.flow.slice(1)] ?? null) : step.flow
  for (const [key, value] of Object.entries(step.parameters))
    run.variables[key] = evaluate(value, run.variables)
  const flow = run.flows.get(name)
  if (!flow) return otherRail(run, name)
  const end = await runFlow(run, flow, depth + 1)
  return end === 'end' ? 'go on' : end
}

/** The turn's variables as Colang holds them. */
export function readVariables(turn: DialogTurn): Variables {
  return Object.fromEntries(Object.entries(turn.variables).map(([key, value]) => [key, toValue(value)]))
}

/** Gives what flows set back to the turn; what they did not touch keeps its original value there. */
export function writeVariables(turn: DialogTurn, variables: Variables): void {
  for (const [key, value] of Object.entries(variables)) {
    if (JSON.stringify(toValue(turn.variables[key])) !== JSON.stringify(value)) turn.variables[key] = value
  }
}
