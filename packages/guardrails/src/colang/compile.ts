// SPDX-License-Identifier: Apache-2.0
import type { Expression } from './expression.ts'
import type { Awaited, Flow, Statement } from './program.ts'
import { ColangError } from './source.ts'

/** A step of a flow. `to` is the index of the step to go on with; the index after the last one ends the flow. */
export type Step =
  | Awaited
  | Extract<Statement, { kind: 'bot' | 'action' | 'create' | 'generate' | 'set' | 'do' | 'stop' }>
  | { kind: 'branch'; heads: number[]; line: number }
  | { kind: 'unless'; test: Expression; to: number; line: number }
  | { kind: 'jump'; to: number; line: number }

/** A flow as a list of steps, in which a position can be kept and gone on from. */
export interface CompiledFlow extends Omit<Flow, 'body'> {
  steps: Step[]
}

interface Loop {
  start: number
  breaks: number[]
}

/** How the action is named that runs a rail of the engine, which no file defines as a flow. */
export const RAIL_ACTION = 'rail '

/**
 * Flattens a flow; `known` are the flows that it can call. Throws ColangError for a goto without its label or a break
 * outside of a loop.
 */
export function compileFlow({ body, ...flow }: Flow, known: ReadonlySet<string>): CompiledFlow {
  const writer = new Writer(flow.file, known)
  writer.body(body)
  return { ...flow, steps: writer.finish() }
}

class Writer {
  private readonly steps: Step[] = []
  private readonly labels = new Map<string, number>()
  private readonly gotos: { at: number; label: string; line: number }[] = []
  private readonly loops: Loop[] = []
  private readonly returns: number[] = []
  private readonly file: string

  private readonly known: ReadonlySet<string>

  constructor(file: string, known: ReadonlySet<string>) {
    this.file = file
    this.known = known
  }

  body(statements: Statement[]): void {
    for (const statement of statements) this.statement(statement)
  }

  finish(): Step[] {
    for (const { at, label, line } of this.gotos) {
      const to = this.labels.get(label)
      if (to === undefined) throw new ColangError(this.file, line, `no label ${label} in this flow`)
      this.aim(at, to)
    }
    for (const at of this.returns) this.aim(at, this.steps.length)
    return this.steps
  }

  private statement(statement: Statement): void {
    const { line } = statement
    switch (statement.kind) {
      case 'if':
        this.choice(statement)
        return
      case 'while':
        this.loop(statement)
        return
      case 'when':
        this.when(statement)
        return
      case 'pass':
        return
      case 'label':
        this.labels.set(statement.label, this.steps.length)
        return
      case 'goto':
        this.gotos.push({ at: this.jump(line), label: statement.label, line })
        return
      case 'return':
        this.returns.push(this.jump(line))
        return
      case 'break':
      case 'continue': {
        const loop = this.loops.at(-1)
        if (!loop) throw new ColangError(this.file, line, `"${statement.kind}" outside of a while`)
        if (statement.kind === 'break') loop.breaks.push(this.jump(line))
        else this.aim(this.jump(line), loop.start)
        return
      }
      case 'do':
        this.steps.push(this.isOwn(statement.flow) ? statement : railAction(statement))
        return
      default:
        this.steps.push(statement)
    }
  }

  /** A flow of the files, or one that a variable names when it runs. */
  private isOwn(flow: string): boolean {
    return flow.startsWith('$') || this.known.has(flow)
  }

  private choice({ cases, otherwise, line }: Extract<Statement, { kind: 'if' }>): void {
    const ends: number[] = []
    for (const one of cases) {
      const test = this.steps.push({ kind: 'unless', test: one.test, to: -1, line }) - 1
      this.body(one.body)
      ends.push(this.jump(line))
      this.aim(test, this.steps.length)
    }
    this.body(otherwise)
    for (const at of ends) this.aim(at, this.steps.length)
  }

  private loop({ test, body, line }: Extract<Statement, { kind: 'while' }>): void {
    const start = this.steps.push({ kind: 'unless', test, to: -1, line }) - 1
    const loop: Loop = { start, breaks: [start] }
    this.loops.push(loop)
    this.body(body)
    this.loops.pop()
    this.aim(this.jump(line), start)
    for (const at of loop.breaks) this.aim(at, this.steps.length)
  }

  private when({ cases, line }: Extract<Statement, { kind: 'when' }>): void {
    const heads: number[] = []
    const ends: number[] = []
    this.steps.push({ kind: 'branch', heads, line })
    for (const { on, body } of cases) {
      heads.push(this.steps.push(on) - 1)
      this.body(body)
      ends.push(this.jump(line))
    }
    for (const at of ends) this.aim(at, this.steps.length)
  }

  private jump(line: number): number {
    return this.steps.push({ kind: 'jump', to: -1, line }) - 1
  }

  private aim(at: number, to: number): void {
    const step = this.steps[at]
    if (step?.kind === 'jump' || step?.kind === 'unless') step.to = to
  }
}

function railAction({ flow, parameters, line }: Extract<Statement, { kind: 'do' }>): Step {
  return { kind: 'action', name: `${RAIL_ACTION}${flow}`, parameters, line }
}
