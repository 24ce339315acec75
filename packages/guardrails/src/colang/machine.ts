// SPDX-License-Identifier: Apache-2.0
import type { CompiledFlow, Step } from './compile.ts'
import { evaluate, truthy } from './evaluate.ts'
import type { Value, Variables } from './expression.ts'

/** What has happened in a conversation. */
export type DialogEvent =
  | { kind: 'user'; intent: string }
  | { kind: 'bot'; intent: string }
  /** An action ended; when it failed, no flow goes on from it. */
  | { kind: 'action'; name: string; ok: boolean }
  | { kind: 'event'; name: string; fields: Record<string, Value> }

/** What a flow does next, as one of its steps and the flow that it is of. */
export interface Decision {
  step: Deciding
  flow: string
  priority: number
}

type Deciding = Extract<Step, { kind: 'bot' | 'action' | 'create' | 'generate' | 'stop' }>

interface Instance {
  id: number
  flow: string
  at: number
  status: 'active' | 'interrupted' | 'aborted' | 'done'
  /** The instance it waits for. */
  by?: number
}

/** Where a conversation is; plain data, so that it can be kept between two turns. */
export interface DialogState {
  variables: Variables
  instances: Instance[]
  nextId: number
}

export type Flows = ReadonlyMap<string, CompiledFlow>

export const newDialogState = (variables: Variables = {}): DialogState => ({
  variables,
  instances: [],
  nextId: 1,
})

// What was decided before the event has less weight than what the event brings about.
const OLDER = 0.9
const MAX_SLIDES = 10_000

/** A flow that loops without doing anything, or calls itself for ever. */
export class RunawayFlowError extends Error {
  override name = 'RunawayFlowError'
}

/**
 * Takes an event into a conversation and says what comes next; undefined when it is the user's turn, or nobody knows.
 * The state is changed in place. Throws ExpressionError for an expression that fails, RunawayFlowError.
 */
export function advance(flows: Flows, state: DialogState, event: DialogEvent): Decision | undefined {
  const round = new Round(flows, state, event)
  round.run()
  return round.decision()
}

/** Ends all flows, as `stop` does. */
export function stopAll(state: DialogState): void {
  state.instances = []
}

class Round {
  private readonly flows: Flows
  private readonly state: DialogState
  private readonly event: DialogEvent
  private chosen: { instance: Instance; step: Deciding; priority: number } | undefined
  private extensionEnded = false
  private slides = 0

  constructor(flows: Flows, state: DialogState, event: DialogEvent) {
    this.flows = flows
    this.state = state
    this.event = event
  }

  decision(): Decision | undefined {
    const { chosen } = this
    return chosen && { step: chosen.step, flow: chosen.instance.flow, priority: chosen.priority }
  }

  run(): void {
    const before = this.state.instances.filter(
      ({ status }) => status === 'active' || status === 'interrupted',
    )
    this.state.instances = [...before]
    for (const instance of before) if (instance.status === 'active') this.goOn(instance)
    for (const flow of this.flows.values()) this.begin(flow)
    if (this.extensionEnded) this.reviveAborted()
    const by = this.chosen?.instance.id
    for (const instance of this.state.instances) {
      if (instance.status === 'interrupted' && instance.by === undefined && by !== undefined) instance.by = by
    }
    this.letExtensionInterrupt()
    this.resume()
    this.state.instances = this.state.instances.filter(
      ({ status }) => status === 'active' || status === 'interrupted',
    )
  }

  private goOn(instance: Instance): void {
    const flow = this.flowOf(instance)
    if (!this.concerns(flow)) {
      this.consider(instance, OLDER)
      return
    }
    const step = flow.steps[instance.at]
    const heads = step?.kind === 'branch' ? step.heads : [instance.at]
    const met = heads.find((at) => this.matches(flow.steps[at]))
    if (met !== undefined) {
      instance.at = met + 1
      this.slide(instance)
      if (instance.status === 'done' && flow.extension) this.extensionEnded = true
    } else if (isDeciding(step) || !flow.interruptible) instance.status = 'aborted'
    else instance.status = 'interrupted'
  }

  /**
   * Whether a flow listens to this kind of event: other events than the common ones only matter to flows that name
   * them. One that creates an event and does not wait for it then is given up, as in the toolkit.
   */
  private concerns(flow: CompiledFlow): boolean {
    const { event } = this
    if (event.kind !== 'event') return true
    return flow.steps.some(
      (step) => (step.kind === 'event' || step.kind === 'create') && step.name === event.name,
    )
  }

  private begin(flow: CompiledFlow): void {
    if (flow.subflow) return
    if (!flow.parallel && this.state.instances.some((one) => one.flow === flow.name && one.status !== 'done'))
      return
    const instance: Instance = { id: this.state.nextId, flow: flow.name, at: 0, status: 'active' }
    const saved = { ...this.state.variables }
    // A flow may begin with tests; it starts if what follows them is what happened.
    const at = this.settle(flow, 0)
    const step = flow.steps[at]
    const heads = step?.kind === 'branch' ? step.heads : [at]
    const met = heads.find((head) => this.matches(flow.steps[head]))
    if (met === undefined) {
      this.state.variables = saved
      return
    }
    this.state.nextId += 1
    this.state.instances.push(instance)
    instance.at = met + 1
    this.slide(instance)
  }

  /** Moves through the steps that need nobody, into and out of subflows, up to one that decides or waits. */
  private slide(instance: Instance): void {
    const flow = this.flowOf(instance)
    for (;;) {
      instance.at = this.settle(flow, instance.at)
      const step = flow.steps[instance.at]
      if (step === undefined) {
        instance.status = 'done'
        return
      }
      if (step.kind !== 'do') {
        this.consider(instance, 1)
        return
      }
      instance.at += 1
      const called = this.call(step)
      if (called) {
        instance.status = 'interrupted'
        instance.by = called.id
        return
      }
    }
  }

  private call(step: Extract<Step, { kind: 'do' }>): Instance | undefined {
    const name = step.flow.startsWith('$')
      ? String(this.state.variables[step.flow.slice(1)] ?? '')
      : step.flow
    const flow = this.flows.get(name)
    if (!flow) return undefined
    for (const [key, value] of Object.entries(step.parameters)) {
      this.state.variables[key] = evaluate(value, this.state.variables)
    }
    this.tick(flow)
    const instance: Instance = { id: this.state.nextId, flow: flow.name, at: 0, status: 'active' }
    this.state.nextId += 1
    this.slide(instance)
    if (instance.status === 'done') return undefined
    this.state.instances.push(instance)
    return instance
  }

  /** The position at which something has to be done, waited for or called, from `start` on. */
  private settle(flow: CompiledFlow, start: number): number {
    for (let at = start; ; ) {
      this.tick(flow)
      const step = flow.steps[at]
      if (step?.kind === 'jump') at = step.to
      else if (step?.kind === 'unless')
        at = truthy(evaluate(step.test, this.state.variables)) ? at + 1 : step.to
      else if (step?.kind === 'set') {
        this.state.variables[step.variable] = evaluate(step.value, this.state.variables)
        at += 1
      } else return at
    }
  }

  private tick(flow: CompiledFlow): void {
    this.slides += 1
    if (this.slides > MAX_SLIDES)
      throw new RunawayFlowError(
        `flow ${flow.name} (${flow.file}:${flow.line}) goes on for ever without saying or asking`,
      )
  }

  private consider(instance: Instance, weight: number): void {
    const flow = this.flowOf(instance)
    const step = flow.steps[instance.at]
    if (!isDeciding(step) || (this.chosen && this.chosen.priority >= flow.priority)) return
    this.chosen = { instance, step, priority: flow.priority * weight }
  }

  private reviveAborted(): void {
    for (const instance of this.state.instances) {
      if (instance.status !== 'aborted') continue
      instance.status = 'active'
      this.consider(instance, 1)
    }
  }

  private letExtensionInterrupt(): void {
    const chosen = this.chosen?.instance
    if (!chosen || !this.flowOf(chosen).extension) return
    for (const instance of this.state.instances) {
      if (instance.status !== 'aborted' || !this.flowOf(instance).interruptible) continue
      instance.status = 'interrupted'
      instance.by = chosen.id
    }
  }

  /** Flows whose interrupter has ended go on; those whose interrupter was given up are given up too. */
  private resume(): void {
    for (let changed = true; changed; ) {
      changed = false
      for (const instance of this.state.instances) {
        if (instance.status !== 'interrupted') continue
        const by = this.state.instances.find((one) => one.id === instance.by)
        if (by?.status === 'active' || by?.status === 'interrupted') continue
        changed = true
        if (by?.status === 'aborted') instance.status = 'aborted'
        else {
          instance.status = 'active'
          delete instance.by
          this.slide(instance)
        }
      }
    }
  }

  private matches(step: Step | undefined): boolean {
    const { event } = this
    if (step?.kind === 'user')
      return event.kind === 'user' && (step.intent === '...' || step.intent === event.intent)
    if (step?.kind === 'bot')
      return event.kind === 'bot' && (step.intent === '...' || step.intent === event.intent)
    if (step?.kind === 'stop') return event.kind === 'bot' && event.intent === 'stop'
    if (step?.kind === 'action') return event.kind === 'action' && event.ok && step.name === event.name
    if (step?.kind === 'generate')
      return event.kind === 'action' && event.ok && event.name === 'generate_value'
    if (step?.kind === 'create') return event.kind === 'action' && event.name === 'create_event'
    if (step?.kind !== 'event' || event.kind !== 'event' || step.name !== event.name) return false
    return Object.entries(step.fields).every(
      ([key, value]) =>
        value === '...' ||
        JSON.stringify(evaluate(value, this.state.variables)) === JSON.stringify(event.fields[key] ?? null),
    )
  }

  private flowOf(instance: Instance): CompiledFlow {
    const flow = this.flows.get(instance.flow)
    if (!flow) throw new Error(`no flow ${instance.flow}`)
    return flow
  }
}

function isDeciding(step: Step | undefined): step is Deciding {
  if (step?.kind === 'bot') return step.intent !== '...'
  return ['action', 'create', 'generate', 'stop'].includes(step?.kind ?? '')
}
