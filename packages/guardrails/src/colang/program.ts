// SPDX-License-Identifier: Apache-2.0
import type { Expression } from './expression.ts'

/** What Colang 1.0 files define together: how users and bots say things, and how they go on. */
export interface Program {
  /** Examples of each user intent. */
  users: Map<string, string[]>
  /** Texts of each bot intent; one of them is said. */
  bots: Map<string, string[]>
  flows: Map<string, Flow>
}

export interface Flow {
  name: string
  file: string
  line: number
  body: Statement[]
  /** Only called by `do`, never started by what users say. */
  subflow: boolean
  /** May speak in the middle of other flows, which then go on. */
  extension: boolean
  /** May run several times at once. */
  parallel: boolean
  /** The flow with the highest priority decides; 1 unless given. */
  priority: number
  interruptible: boolean
}

interface At {
  line: number
}

/** What may be waited for. `name` of a user or bot statement may be `...`: whatever it is. */
export type Awaited =
  | ({ kind: 'user'; intent: string } & At)
  | ({ kind: 'event'; name: string; fields: Record<string, Expression | '...'> } & At)

export type Statement =
  | Awaited
  | ({ kind: 'bot'; intent: string; text?: string; instructions?: string } & At)
  | ({ kind: 'action'; name: string; parameters: Record<string, Expression>; result?: string } & At)
  | ({ kind: 'create'; name: string; fields: Record<string, Expression> } & At)
  | ({ kind: 'set'; variable: string; value: Expression } & At)
  | ({ kind: 'generate'; variable: string; instructions?: string } & At)
  | ({ kind: 'if'; cases: { test: Expression; body: Statement[] }[]; otherwise: Statement[] } & At)
  | ({ kind: 'while'; test: Expression; body: Statement[] } & At)
  | ({ kind: 'when'; cases: { on: Awaited; body: Statement[] }[] } & At)
  | ({ kind: 'do'; flow: string; parameters: Record<string, Expression> } & At)
  | ({ kind: 'goto'; label: string } & At)
  | ({ kind: 'label'; label: string } & At)
  | ({ kind: 'stop' } & At)
  | ({ kind: 'break' | 'continue' | 'return' | 'pass' } & At)

/** The statements of a flow and all that are nested in them. */
export function* allStatements(body: readonly Statement[]): Generator<Statement> {
  for (const statement of body) {
    yield statement
    if (statement.kind === 'if' || statement.kind === 'when') {
      for (const one of statement.cases) yield* allStatements(one.body)
    }
    if (statement.kind === 'if') yield* allStatements(statement.otherwise)
    if (statement.kind === 'while') yield* allStatements(statement.body)
  }
}
