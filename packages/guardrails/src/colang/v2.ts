// SPDX-License-Identifier: Apache-2.0
import type { ColangSource, DialogEngine, DialogTurn, RailResult, Stage } from '../engine/types.ts'
import { evaluate, text, truthy } from './evaluate.ts'
import type { Expression, Value, Variables } from './expression.ts'
import { RunawayFlowError } from './machine.ts'
import { askValue } from './model-turns.ts'
import { readVariables, writeVariables } from './rail-flow.ts'
import { ColangError } from './source.ts'
import { parseV2, type V2Flow, type V2Statement } from './v2-program.ts'
import { toValue } from './values.ts'

const REFUSAL = "I'm sorry, I can't respond to that."
const MAX_STEPS = 10_000
const MAX_CALLS = 30
/** What the guardrail flows are given: the text they are about. */
const GIVEN: Partial<Record<Stage, string>> = { input: 'user_message', output: 'bot_message' }

/**
 * The guardrail flows of Colang 2.x files: `input rails` and `output rails` run as rails of these names. There are no
 * dialogs: `llm continuation` is what happens anyway. `problem` is told of what does not run here.
 */
export function compileV2(sources: ColangSource[], problem: (error: ColangError) => void): DialogEngine {
  const flows = new Map<string, V2Flow>()
  for (const { file, text } of sources) {
    try {
      for (const [name, flow] of parseV2(file, text)) flows.set(name, flow)
    } catch (error) {
      if (!(error instanceof ColangError)) throw error
      problem(error)
    }
  }
  const statements = [...flows.values()].flatMap((flow) => [...all(flow.body)].map((one) => ({ flow, one })))
  return {
    flows: new Set(flows.keys()),
    botMessages: new Map(),
    hasDialog: false,
    actions: statements.flatMap(({ flow, one }) =>
      one.kind === 'action' ? [{ name: one.name, file: flow.file, line: one.line }] : [],
    ),
    calls: statements.flatMap(({ flow, one }) =>
      one.kind === 'call' && !flows.has(one.name) && !one.name.startsWith('bot ')
        ? [{ name: one.name, file: flow.file, line: one.line }]
        : [],
    ),
    runRail: (name, stage, turn) => new V2Run(flows, turn).rail(name, stage),
    respond: async () => undefined,
  }
}

function* all(body: V2Statement[]): Generator<V2Statement> {
  for (const one of body) {
    yield one
    if (one.kind === 'if') {
      for (const { body: inner } of one.cases) yield* all(inner)
      yield* all(one.otherwise)
    }
    if (one.kind === 'while') yield* all(one.body)
  }
}

/** How statements ended: at their end, by return, or by abort, which blocks. */
type End = { kind: 'end' } | { kind: 'return'; value: Value } | { kind: 'abort'; result?: RailResult }

class V2Run {
  private readonly flows: ReadonlyMap<string, V2Flow>
  private readonly turn: DialogTurn
  private readonly said: string[] = []
  private steps = 0

  constructor(flows: ReadonlyMap<string, V2Flow>, turn: DialogTurn) {
    this.flows = flows
    this.turn = turn
  }

  async rail(name: string, stage: Stage): Promise<RailResult> {
    const flow = this.flows.get(name)
    if (!flow) throw new Error(`no flow ${name}`)
    const subject = GIVEN[stage]
    const given = subject === undefined ? null : toValue(this.turn.variables[subject])
    const end = await this.flow(flow, [given], 0)
    if (end.kind !== 'abort') return { decision: 'allow' }
    if (end.result) return end.result
    return {
      decision: 'block',
      message: this.said.join('\n') || REFUSAL,
      reason: `flow ${name} aborted the turn`,
    }
  }

  private async flow(flow: V2Flow, args: Value[], depth: number): Promise<End> {
    if (depth > MAX_CALLS) throw new RunawayFlowError(`flow ${flow.name} calls itself without end`)
    const own = Object.fromEntries(flow.parameters.map((name, at) => [name, args[at] ?? null]))
    const variables: Variables = { ...readVariables(this.turn), ...own }
    return this.body(flow.body, variables, depth)
  }

  private async body(statements: V2Statement[], variables: Variables, depth: number): Promise<End> {
    for (const one of statements) {
      this.turn.signal.throwIfAborted()
      this.steps += 1
      if (this.steps > MAX_STEPS) throw new RunawayFlowError(`more than ${MAX_STEPS} steps in a rail`)
      const end = await this.statement(one, variables, depth)
      if (end.kind !== 'end') return end
    }
    return { kind: 'end' }
  }

  private async statement(one: V2Statement, variables: Variables, depth: number): Promise<End> {
    switch (one.kind) {
      case 'set':
        variables[one.variable] = evaluate(one.value, variables)
        break
      case 'say':
        this.said.push(fill(text(evaluate(one.text, variables)), variables))
        break
      case 'generate':
        variables[one.variable] = await askValue(this.turn, {
          variable: one.variable,
          instructions: fill(one.instructions, variables),
          history: '',
        })
        break
      case 'action': {
        this.turn.decide(`execute ${one.name}`)
        const value = toValue(await this.turn.execute(one.name, valuesOf(one.parameters, variables)))
        if (one.result !== undefined) variables[one.result] = value
        break
      }
      case 'call':
        return this.call(one, variables, depth)
      case 'if': {
        const chosen = one.cases.find(({ test }) => truthy(evaluate(test, variables)))
        return this.body(chosen?.body ?? one.otherwise, variables, depth)
      }
      case 'while':
        while (truthy(evaluate(one.test, variables))) {
          const end = await this.body(one.body, variables, depth)
          if (end.kind !== 'end') return end
          this.steps += 1
          if (this.steps > MAX_STEPS) throw new RunawayFlowError(`more than ${MAX_STEPS} steps in a rail`)
        }
        break
      case 'return':
        return { kind: 'return', value: one.value ? evaluate(one.value, variables) : null }
      case 'abort':
        return { kind: 'abort' }
      case 'pass':
        break
    }
    return { kind: 'end' }
  }

  private async call(
    one: Extract<V2Statement, { kind: 'call' }>,
    variables: Variables,
    depth: number,
  ): Promise<End> {
    const flow = this.flows.get(one.name)
    if (flow) {
      const end = await this.flow(
        flow,
        one.args.map((arg) => evaluate(arg, variables)),
        depth + 1,
      )
      if (end.kind === 'abort') return end
      if (one.result !== undefined) variables[one.result] = end.kind === 'return' ? end.value : null
      return { kind: 'end' }
    }
    if (one.name.startsWith('bot ')) {
      this.said.push(one.name === 'bot refuse to respond' ? REFUSAL : one.name.slice('bot '.length))
      return { kind: 'end' }
    }
    writeVariables(this.turn, variables)
    const result = await this.turn.runRail(one.name)
    Object.assign(variables, readVariables(this.turn))
    if (one.result !== undefined) {
      variables[one.result] = result?.decision !== 'block'
      return { kind: 'end' }
    }
    return result?.decision === 'block' ? { kind: 'abort', result } : { kind: 'end' }
  }
}

const valuesOf = (parameters: Record<string, Expression>, variables: Variables) =>
  Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, evaluate(value, variables)]))

/** Fills `{$name}` in a text, Colang 2.x's form of a variable in one. */
function fill(template: string, variables: Variables): string {
  return template.replace(/\{\$(\w+)\}/g, (_, name: string) => text(variables[name] ?? ''))
}
