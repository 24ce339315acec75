// SPDX-License-Identifier: Apache-2.0
import type { DialogOutcome, DialogTurn } from '../engine/types.ts'
import { RAIL_ACTION } from './compile.ts'
import { evaluate, text } from './evaluate.ts'
import type { Value } from './expression.ts'
import type { Index } from './index-of-texts.ts'
import {
  advance,
  type Decision,
  type DialogEvent,
  type DialogState,
  type Flows,
  RunawayFlowError,
  stopAll,
} from './machine.ts'
import { askBotMessage, askNextStep, askUserIntent, askValue } from './model-turns.ts'
import { readVariables, writeVariables } from './rail-flow.ts'
import { renderText } from './render.ts'
import { toValue } from './values.ts'

/** What a dialog knows apart from the turn. */
export interface DialogRules {
  flows: Flows
  bots: ReadonlyMap<string, readonly string[]>
  userExamples: Index
  /** By intent, with a text of it as the name. */
  botExamples: Index
  flowExamples: Index
  /** Whether the nearest example decides the intent, without a model; from this similarity on, else the fallback. */
  embeddingsOnly?: { threshold?: number | undefined; fallback?: string | undefined }
}

/** What users and bots said and meant, as it goes on over the turns. */
export interface Conversation {
  state: DialogState
  history: string
}

const MAX_EVENTS = 300
/** Flows of less priority than this give way to what the model would do next. */
const NEXT_STEP_PRIORITY = 0.9
/** A flow says this to take back its last message. */
const TAKE_BACK = '(remove last message)'
const SIMILAR = 5
/** What users are told when an action fails; clients know this sentence. */
const INTERNAL_ERROR = "I'm sorry, an internal error has occurred."
const NOTHING_TO_SAY = "I'm not sure what to say."

/** Runs one turn of a dialog from what the user said until it is the user's turn again. The conversation goes on in place. */
export async function runTurn(
  rules: DialogRules,
  conversation: Conversation,
  turn: DialogTurn,
): Promise<DialogOutcome> {
  const run = new TurnRun(rules, conversation, turn)
  await run.run()
  return run.outcome
}

class TurnRun {
  readonly outcome: DialogOutcome & { botIntents: string[]; events: Record<string, unknown>[] } = {
    messages: [],
    stop: false,
    generated: false,
    botIntents: [],
    events: [],
  }
  private readonly rules: DialogRules
  private readonly conversation: Conversation
  private readonly turn: DialogTurn

  constructor(rules: DialogRules, conversation: Conversation, turn: DialogTurn) {
    this.rules = rules
    this.conversation = conversation
    this.turn = turn
  }

  async run(): Promise<void> {
    const { turn, conversation } = this
    const said = userText(turn)
    Object.assign(conversation.state.variables, readVariables(turn), { last_user_message: said })
    conversation.history += `user "${said}"\n`
    const intent = await this.userIntent(said)
    conversation.history += `  ${intent}\n`
    this.outcome.userIntent = intent
    turn.decide(intent)
    const known = this.feed({ kind: 'user', intent })
    let decision: Decision | undefined =
      known && known.priority >= NEXT_STEP_PRIORITY ? known : await this.nextStep(intent)
    for (let events = 0; decision; events++) {
      turn.signal.throwIfAborted()
      if (events > MAX_EVENTS) throw new RunawayFlowError(`flow ${decision.flow} does not come to an end`)
      decision = await this.take(decision)
    }
    writeVariables(turn, conversation.state.variables)
    this.outcome.history = conversation.history
  }

  private feed(event: DialogEvent): Decision | undefined {
    this.outcome.events.push({ ...event })
    return advance(this.rules.flows, this.conversation.state, event)
  }

  private async userIntent(said: string): Promise<string> {
    const { userExamples, embeddingsOnly } = this.rules
    if (embeddingsOnly) {
      const [nearest] = await userExamples.nearest(said, 1, this.turn)
      if (nearest && nearest.similarity >= (embeddingsOnly.threshold ?? 0)) return nearest.name
      if (embeddingsOnly.fallback !== undefined) return embeddingsOnly.fallback
    }
    const examples = await userExamples.nearest(said, SIMILAR, this.turn)
    const answer = await askUserIntent(this.turn, examples.reverse(), this.conversation.history)
    return userExamples.names.find((name) => name.toLowerCase() === answer.toLowerCase()) ?? answer
  }

  /** What the bot does after an intent that no flow knows: the model says it, by the example of the flows. */
  private async nextStep(intent: string): Promise<Decision> {
    const flows = await this.rules.flowExamples.nearest(intent, SIMILAR, this.turn)
    const next = await askNextStep(this.turn, {
      flows: flows.reverse().map((one) => one.text),
      intent,
      history: this.conversation.history,
    })
    return {
      step: { kind: 'bot', intent: next, line: 0 },
      flow: 'generate next step',
      priority: NEXT_STEP_PRIORITY,
    }
  }

  private async take({ step }: Decision): Promise<Decision | undefined> {
    switch (step.kind) {
      case 'stop':
        stopAll(this.conversation.state)
        this.turn.decide('stop')
        this.outcome.stop = true
        return undefined
      case 'bot':
        return this.say(step)
      case 'action':
        return this.act(step.name, async () => this.perform(step), step.result)
      case 'generate':
        return this.act('generate_value', () => this.generate(step), step.variable)
      case 'create':
        return this.create(step)
    }
  }

  private async say(step: Extract<Decision['step'], { kind: 'bot' }>): Promise<Decision | undefined> {
    const { state } = this.conversation
    this.turn.decide(step.intent)
    this.outcome.botIntents.push(step.intent)
    const message = (await this.words(step)) || NOTHING_TO_SAY
    if (message === TAKE_BACK) this.outcome.messages.pop()
    else this.outcome.messages.push(message)
    state.variables.last_bot_message = message
    state.variables.bot_message = message
    this.conversation.history += `bot ${step.intent}\n  "${message}"\n`
    this.feed({ kind: 'bot', intent: step.intent })
    return this.feed({ kind: 'event', name: 'StartUtteranceBotAction', fields: { script: message } })
  }

  private async words(step: Extract<Decision['step'], { kind: 'bot' }>): Promise<string> {
    const { variables } = this.conversation.state
    const texts = this.rules.bots.get(step.intent)
    if (step.text !== undefined) return renderText(step.text, variables)
    if (texts && texts.length > 0) {
      return renderText(texts[Math.floor(Math.random() * texts.length)] ?? '', variables)
    }
    if (step.intent.startsWith('$') && Object.hasOwn(variables, step.intent.slice(1))) {
      // What a variable holds may be anybody's words.
      this.outcome.generated = true
      return text(variables[step.intent.slice(1)] ?? null)
    }
    this.outcome.generated = true
    const nearest = await this.rules.botExamples.nearest(step.intent, SIMILAR, this.turn)
    const examples = nearest.map(({ text: intent, name }) => ({ text: name, name: intent }))
    return askBotMessage(this.turn, {
      intent: step.intent,
      examples: examples.reverse(),
      history: this.conversation.history,
      ...(step.instructions !== undefined && { instructions: step.instructions }),
    })
  }

  private async act(
    name: string,
    perform: () => Promise<Value>,
    result: string | undefined,
  ): Promise<Decision | undefined> {
    const { state } = this.conversation
    this.turn.decide(`execute ${name}`)
    try {
      const value = await perform()
      if (result !== undefined) state.variables[result] = value
    } catch (error) {
      if (this.turn.signal.aborted) throw error
      this.outcome.messages.push(INTERNAL_ERROR)
      this.outcome.stop = true
      this.outcome.events.push({ kind: 'action', name, ok: false, error: String(error) })
      stopAll(state)
      return undefined
    }
    return this.outcome.stop ? undefined : this.feed({ kind: 'action', name, ok: true })
  }

  private async perform(step: Extract<Decision['step'], { kind: 'action' }>): Promise<Value> {
    const { state } = this.conversation
    const parameters = Object.fromEntries(
      Object.entries(step.parameters).map(([key, value]) => [key, evaluate(value, state.variables)]),
    )
    writeVariables(this.turn, state.variables)
    if (!step.name.startsWith(RAIL_ACTION)) {
      const value = toValue(await this.turn.execute(step.name, parameters))
      Object.assign(state.variables, readVariables(this.turn))
      return value
    }
    const result = await this.turn.runRail(step.name.slice(RAIL_ACTION.length))
    Object.assign(state.variables, readVariables(this.turn))
    if (result?.decision === 'block') {
      this.outcome.messages.push(result.message ?? NOTHING_TO_SAY)
      this.outcome.stop = true
      stopAll(state)
    }
    return result?.decision === 'block'
  }

  private generate(step: Extract<Decision['step'], { kind: 'generate' }>): Promise<Value> {
    return askValue(this.turn, {
      variable: step.variable,
      history: this.conversation.history,
      ...(step.instructions !== undefined && { instructions: step.instructions }),
    })
  }

  private create(step: Extract<Decision['step'], { kind: 'create' }>): Decision | undefined {
    const { variables } = this.conversation.state
    const fields = Object.fromEntries(
      Object.entries(step.fields).map(([key, value]) => [key, evaluate(value, variables)]),
    )
    if (step.name.endsWith('Exception')) {
      this.outcome.exception = { type: step.name, message: text(fields.message ?? '') }
    }
    this.feed({ kind: 'action', name: 'create_event', ok: true })
    variables.event = fields
    return this.feed({ kind: 'event', name: step.name, fields })
  }
}

/** The text of the last message. */
export function userText(turn: Pick<DialogTurn, 'messages' | 'variables'>): string {
  const { user_message } = turn.variables
  // Input rails may have changed what the user said.
  if (typeof user_message === 'string') return user_message
  const content = turn.messages.at(-1)?.content
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.flatMap((part) => (typeof part?.text === 'string' ? [part.text] : [])).join(' ')
}
