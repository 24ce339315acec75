// SPDX-License-Identifier: Apache-2.0
import {
  type ColangSource,
  type CompileDialog,
  ConfigProblems,
  type DialogEngine,
  type Problem,
} from '../engine/types.ts'
import { type CompiledFlow, compileFlow } from './compile.ts'
import { type DialogRules, runTurn, userText } from './dialog.ts'
import { Index } from './index-of-texts.ts'
import { Memory } from './memory.ts'
import { defineBlock } from './parse.ts'
import { allStatements, type Flow, type Program } from './program.ts'
import { runRailFlow } from './rail-flow.ts'
import { ColangError, readBlocks } from './source.ts'
import { compileV2 } from './v2.ts'

/** Compiles Colang files into the rails and dialogs they define; of 2.x the guardrail flows. See CompileDialog. */
export const compileDialog: CompileDialog = (sources, data) => {
  const problems: Problem[] = []
  if (data.colang_version?.startsWith('2')) {
    const engine = compileV2(sources, (error) => problems.push(problemOf(error)))
    if (problems.length > 0) throw new ConfigProblems(problems)
    return engine
  }
  const program = readProgram(sources, problems)
  const known = new Set(program.flows.keys())
  const flows = new Map<string, CompiledFlow>()
  for (const flow of program.flows.values()) {
    attempt(problems, () => flows.set(flow.name, compileFlow(flow, known)))
  }
  if (problems.length > 0) throw new ConfigProblems(problems)
  return engineOf(program, flows, data.rails?.dialog?.user_messages ?? undefined)
}

function readProgram(sources: ColangSource[], problems: Problem[]): Program {
  const program: Program = { users: new Map(), bots: new Map(), flows: new Map() }
  for (const { file, text } of sources) {
    attempt(problems, () => {
      for (const block of readBlocks(file, text)) attempt(problems, () => defineBlock(program, file, block))
    })
  }
  return program
}

function attempt(problems: Problem[], action: () => unknown): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof ColangError)) throw error
    problems.push(problemOf(error))
  }
}

const problemOf = ({ file, line, reason }: ColangError): Problem => ({ file, line, message: reason })

type UserMessages = {
  embeddings_only?: boolean | null | undefined
  embeddings_only_similarity_threshold?: number | null | undefined
  embeddings_only_fallback_intent?: string | null | undefined
}

function engineOf(
  program: Program,
  flows: ReadonlyMap<string, CompiledFlow>,
  users: UserMessages | undefined,
): DialogEngine {
  const rules: DialogRules = {
    flows,
    bots: program.bots,
    userExamples: new Index(textsOf(program.users)),
    botExamples: new Index([...textsOf(program.bots)].map(({ text, name }) => ({ text: name, name: text }))),
    flowExamples: new Index([...program.flows.values()].filter(isDialog).map(asExample)),
    ...(users?.embeddings_only && {
      embeddingsOnly: {
        threshold: users.embeddings_only_similarity_threshold ?? undefined,
        fallback: users.embeddings_only_fallback_intent ?? undefined,
      },
    }),
  }
  const memory = new Memory()
  return {
    flows: new Set(flows.keys()),
    botMessages: program.bots,
    hasDialog: program.users.size > 0,
    actions: actionsOf(program),
    calls: callsOf(program),
    runRail: (flow, stage, turn) => runRailFlow({ flows, bots: program.bots, turn }, flow, stage),
    async respond(turn) {
      if (program.users.size === 0) return undefined
      const conversation = memory.recall(turn.messages.slice(0, -1))
      const outcome = await runTurn(rules, conversation, turn)
      const spoken = [...turn.messages.slice(0, -1), { role: 'user', content: userText(turn) }]
      memory.keep([...spoken, { role: 'assistant', content: outcome.messages.join('\n') }], conversation)
      // The client repeats the user's words as they were, which rails may have changed.
      const original = [...turn.messages, { role: 'assistant', content: outcome.messages.join('\n') }]
      memory.keep(original, conversation)
      return outcome
    },
  }
}

function* textsOf(named: ReadonlyMap<string, readonly string[]>): Generator<{ text: string; name: string }> {
  for (const [name, texts] of named) for (const text of texts) yield { text, name }
}

const isDialog = (flow: Flow) => !flow.subflow && flow.body.some((one) => one.kind === 'user')

/** A flow as a model is shown it: what the user expresses and the bot does then. */
function asExample(flow: Flow): { text: string; name: string } {
  const lines = flow.body.flatMap((one) => {
    if (one.kind === 'user') return [`user ${one.intent}`]
    return one.kind === 'bot' ? [`bot ${one.intent}`] : []
  })
  return { text: lines.join('\n'), name: flow.name }
}

function actionsOf(program: Program): DialogEngine['actions'] {
  return [...program.flows.values()].flatMap((flow) =>
    [...allStatements(flow.body)].flatMap((one) =>
      one.kind === 'action' ? [{ name: one.name, file: flow.file, line: one.line }] : [],
    ),
  )
}

function callsOf(program: Program): DialogEngine['calls'] {
  return [...program.flows.values()].flatMap((flow) =>
    [...allStatements(flow.body)].flatMap((one) => {
      const own = one.kind !== 'do' || one.flow.startsWith('$') || program.flows.has(one.flow)
      return own ? [] : [{ name: one.flow, file: flow.file, line: one.line }]
    }),
  )
}
