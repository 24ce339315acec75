// SPDX-License-Identifier: Apache-2.0
import type { GenerationOptions } from '@open-nemo/contract/guardrails/schemas.ts'
import { inSpan, traceOfNow } from '@open-nemo/runtime'
import type { ChatAnswer } from '../models/client.ts'
import { askModel } from './ask.ts'
import type { CompiledConfig, EngineServices, Rail, Turn } from './compiled.ts'
import { dialogTurn, STAGE_VARIABLES } from './dialog-turn.ts'
import { mainMessages } from './main-prompt.ts'
import { endAction, TurnLog } from './recorder.ts'
import { type Block, type RailStatuses, runRails, withSignal } from './run-rails.ts'
import { lastIndex, messageText, reasoningOf, withoutReasoning } from './text.ts'
import type { DialogOutcome, Message, Stage } from './types.ts'

/** A request to the engine. */
export interface TurnRequest {
  config: CompiledConfig
  messages: Message[]
  /** The model that was asked for, where the configuration names none. */
  model?: string | undefined
  modelKey?: string | undefined
  /** Sampling parameters and everything else that goes to the main model as it is. */
  parameters?: Record<string, unknown>
  options?: GenerationOptions | null | undefined
  context?: Record<string, unknown> | null | undefined
  signal?: AbortSignal
}

/** How a turn ended. */
export interface TurnOutcome {
  turn: Turn
  block: Block | undefined
  /** The main model's whole answer, its texts as the rails left them; absent when blocked or said by a flow. */
  answer: ChatAnswer | undefined
  /** What the caller is told. */
  text: string
  dialog: DialogOutcome | undefined
}

/** Begins a turn: variables from the context and the conversation. */
export function startTurn(request: TurnRequest, services: EngineServices): Turn {
  const { config, messages } = request
  const conversation = messages.filter((m) => m.role !== 'context')
  const user = conversation[lastIndex(conversation, 'user')]
  // A message of role context carries variables, as the toolkit's clients send them.
  const given = messages
    .filter((m) => m.role === 'context' && typeof m.content === 'object')
    .map((m) => m.content)
  const text = messageText(user)
  const variables = {
    ...Object.assign({}, ...given),
    ...request.context,
    last_user_message: text,
    user_message: text,
  }
  return {
    config,
    services,
    messages: conversation,
    variables,
    model: request.model,
    modelKey: request.modelKey,
    parameters: { ...request.parameters, ...request.options?.llm_params },
    log: new TurnLog(),
    signal: request.signal ?? new AbortController().signal,
    failures: [],
    ...traceOfNow(),
  }
}

/** Which rails of a stage run: all, none, or those a request names. */
export function chosenRails(
  turn: Pick<Turn, 'config'>,
  stage: Stage,
  options: GenerationOptions | null | undefined,
): readonly Rail[] {
  const rails = turn.config.rails[stage]
  const choice = options?.rails
  if (!choice) return rails
  if (Array.isArray(choice)) return choice.includes(stage) ? rails : []
  const own = choice[stage]
  if (own === false) return []
  return Array.isArray(own) ? rails.filter((r) => own.includes(r.flow)) : rails
}

/** Whether the dialog and the main model take part; `rails: ["input"]` asks for checks alone. */
function wantsAnswer(options: GenerationOptions | null | undefined): boolean {
  const choice = options?.rails
  if (!choice) return true
  return Array.isArray(choice) ? choice.includes('dialog') : choice.dialog !== false
}

/** Runs the rails of the last message without an answer: what the checks operation does. */
export async function checkTurn(
  request: TurnRequest,
  services: EngineServices,
): Promise<{ turn: Turn; statuses: RailStatuses; block: Block | undefined }> {
  const turn = startTurn(request, services)
  const statuses: RailStatuses = {}
  const { options } = request
  let block = await runIncoming(turn, options, statuses)
  const last = turn.messages.at(-1)
  if (!block && last?.role === 'assistant') {
    await runRetrieval(turn, options)
    block = (await runOutput(turn, messageText(last), options, statuses)).block
    if (!block && last.tool_calls?.length) block = await runToolOutput(turn, last, options, statuses)
  }
  return { turn, statuses, block }
}

/** Begins to ask the main model; what it gives is used when the rails of the input have passed. */
export type StartAnswer<T> = (turn: Turn, signal: AbortSignal) => T

/** A turn whose incoming text has passed, or not: what is left to do with it. */
export interface PreparedTurn<T = Promise<ChatAnswer>> {
  turn: Turn
  options: GenerationOptions | null | undefined
  /** Whether the main model is to answer; otherwise `outcome` is how the turn ends. */
  wantsModel: boolean
  outcome?: TurnOutcome
  /** The answer that was asked for beside the rails of the input. */
  early?: T | undefined
}

/**
 * Runs everything up to the main model: rails of the input, retrieval, the dialog. Where the configuration permits
 * it, `start` is called before the rails, and stopped when one of them blocks.
 */
export async function prepareTurn<T>(
  request: TurnRequest,
  services: EngineServices,
  start?: StartAnswer<T>,
): Promise<PreparedTurn<T>> {
  const turn = startTurn(request, services)
  const { options } = request
  const ended = (outcome: TurnOutcome) => ({ turn, options, wantsModel: false, outcome })
  if (!wantsAnswer(options)) return ended(await checkOnly(turn, options))
  const early = start && speculate(turn, start)
  const block = await runIncoming(turn, options).catch((err) => {
    early?.stop()
    throw err
  })
  if (block) {
    early?.stop()
    return ended(blocked(turn, block))
  }
  const refused = await runRetrieval(turn, options)
  if (refused) return ended(blocked(turn, refused))
  const dialog = await runDialog(turn, options)
  if (dialog) return ended(await finishDialog(turn, dialog, options))
  return { turn, options, wantsModel: true, early: early?.answer }
}

/** The rest of a prepared turn: the main model's answer and its rails. */
export async function respondFrom(prepared: PreparedTurn): Promise<TurnOutcome> {
  const { turn, options, early, outcome } = prepared
  if (outcome) return outcome
  const answer = await (early ?? generate(turn, turn.signal))
  return finishAnswer(turn, answer, options)
}

/** Runs a whole turn: rails of the input, retrieval, the dialog or the main model, rails of the output. */
export async function respond(request: TurnRequest, services: EngineServices): Promise<TurnOutcome> {
  const ahead: StartAnswer<Promise<ChatAnswer>> = (turn, signal) => {
    const answer = generate(turn, signal)
    answer.catch(() => undefined)
    return answer
  }
  return respondFrom(await prepareTurn(request, services, ahead))
}

/** With dialog off the last assistant message is what the output rails check, as if it had been generated. */
async function checkOnly(turn: Turn, options: GenerationOptions | null | undefined): Promise<TurnOutcome> {
  const incoming = await runIncoming(turn, options)
  if (incoming) return blocked(turn, incoming)
  const last = turn.messages.at(-1)
  if (last?.role !== 'assistant') return said(turn, String(turn.variables.user_message ?? ''))
  const { text, block } = await runOutput(turn, messageText(last), options)
  return block ? blocked(turn, block) : said(turn, text)
}

/** Rails of what comes in: results of tools first, then the user's message. */
export async function runIncoming(
  turn: Turn,
  options: GenerationOptions | null | undefined,
  statuses?: RailStatuses,
): Promise<Block | undefined> {
  const block = await runToolInput(turn, options, statuses)
  if (block) return block
  const at = lastIndex(turn.messages, 'user')
  // After a tool's result the user's message was checked already, in the turn that called the tool.
  if (at < 0) return undefined
  const rails = chosenRails(turn, 'input', options)
  const result = await runRails({
    turn,
    stage: 'input',
    rails,
    text: String(turn.variables.user_message),
    ...(statuses ? { statuses } : {}),
  })
  turn.variables.user_message = result.text
  return result.block
}

async function runToolInput(
  turn: Turn,
  options: GenerationOptions | null | undefined,
  statuses?: RailStatuses,
): Promise<Block | undefined> {
  const rails = chosenRails(turn, 'tool_input', options)
  if (rails.length === 0) return undefined
  for (const [i, message] of turn.messages.entries()) {
    if (message.role !== 'tool' && message.role !== 'function') continue
    const text = messageText(message)
    turn.variables[STAGE_VARIABLES.tool_input] = text
    const result = await runRails({
      turn,
      stage: 'tool_input',
      rails,
      text,
      ...(statuses ? { statuses } : {}),
    })
    if (result.block) return result.block
    if (result.text !== text) turn.messages[i] = { ...message, content: result.text }
  }
  return undefined
}

async function runRetrieval(
  turn: Turn,
  options: GenerationOptions | null | undefined,
): Promise<Block | undefined> {
  const { variables, config } = turn
  variables.relevant_chunks ??= config.retrieve(String(variables.user_message ?? ''))
  const rails = chosenRails(turn, 'retrieval', options)
  const chunks = variables.relevant_chunks
  const text = Array.isArray(chunks) ? chunks.join('\n') : String(chunks ?? '')
  if (rails.length === 0 || text === '') return undefined
  const result = await runRails({ turn, stage: 'retrieval', rails, text })
  variables.relevant_chunks = result.text
  return result.block
}

/** Rails of the answer's text. */
export async function runOutput(
  turn: Turn,
  text: string,
  options: GenerationOptions | null | undefined,
  statuses?: RailStatuses,
): Promise<{ text: string; block: Block | undefined }> {
  const withReasoning = turn.config.data.rails?.output?.apply_to_reasoning_traces ?? false
  const reasoning = withReasoning ? '' : reasoningOf(text)
  const checked = withReasoning ? text : withoutReasoning(text)
  turn.variables.bot_message = checked
  const rails = chosenRails(turn, 'output', options)
  const result = await runRails({
    turn,
    stage: 'output',
    rails,
    text: checked,
    ...(statuses ? { statuses } : {}),
  })
  turn.variables.bot_message = result.text
  turn.variables.last_bot_message = result.text
  return { text: reasoning + result.text, block: result.block }
}

async function runToolOutput(
  turn: Turn,
  message: Message,
  options: GenerationOptions | null | undefined,
  statuses?: RailStatuses,
): Promise<Block | undefined> {
  const rails = chosenRails(turn, 'tool_output', options)
  if (rails.length === 0) return undefined
  turn.variables.tool_calls = message.tool_calls
  const text = (message.tool_calls ?? [])
    .map(
      (c) =>
        `${c.function?.name ?? ''}(${typeof c.function?.arguments === 'string' ? c.function.arguments : JSON.stringify(c.function?.arguments ?? {})})`,
    )
    .join('\n')
  turn.variables[STAGE_VARIABLES.tool_output] = text
  const result = await runRails({
    turn,
    stage: 'tool_output',
    rails,
    text,
    ...(statuses ? { statuses } : {}),
  })
  // Calls cannot be half sent: what a rail would change in them is not sent.
  if (!result.block && result.text !== text)
    return {
      rail: 'tool_output',
      stage: 'tool_output',
      message: turn.config.botMessage('refuse to respond'),
      reason: 'a rail changed the tool calls',
      failed: false,
    }
  return result.block
}

/** Asks the main model beside the input rails, where the configuration permits it. */
function speculate<T>(turn: Turn, start: StartAnswer<T>): { answer: T; stop: () => void } | undefined {
  const { config, variables } = turn
  const hasChunks =
    variables.relevant_chunks !== undefined || config.retrieve(String(variables.user_message)) !== ''
  if (!config.speculative || config.rails.input.length === 0 || config.rails.tool_input.length || hasChunks)
    return undefined
  const abort = new AbortController()
  const answer = start(turn, AbortSignal.any([turn.signal, abort.signal]))
  return { answer, stop: () => abort.abort(new Error('an input rail blocked')) }
}

/** The main model's answer. */
async function generate(turn: Turn, signal: AbortSignal): Promise<ChatAnswer> {
  const log = turn.log.start('generation', 'generate answer')
  const action = log.action('generate_bot_message')
  try {
    const messages = mainMessages(turn)
    const { parameters } = turn
    const call = askModel(turn, { types: ['main'], task: 'general', messages, parameters, signal, action })
    return await withSignal(call, signal)
  } finally {
    endAction(action, null)
    log.end({ stop: false })
  }
}

async function runDialog(
  turn: Turn,
  options: GenerationOptions | null | undefined,
): Promise<DialogOutcome | undefined> {
  const { dialog } = turn.config
  const choice = options?.rails
  if (!dialog?.hasDialog || (choice && !Array.isArray(choice) && choice.dialog === false)) return undefined
  const log = turn.log.start('dialog', 'dialog')
  try {
    return await inSpan({ name: 'dialog' }, () => dialog.respond(dialogTurn(turn, log, turn.signal)))
  } finally {
    log.end({ stop: false })
  }
}

async function finishDialog(
  turn: Turn,
  dialog: DialogOutcome,
  options: GenerationOptions | null | undefined,
): Promise<TurnOutcome> {
  const text = dialog.messages.join('\n')
  turn.variables.bot_message = text
  if (dialog.stop || !dialog.generated) return { ...said(turn, text), dialog }
  const result = await runOutput(turn, text, options)
  if (result.block) return { ...blocked(turn, result.block), dialog }
  return { ...said(turn, result.text), dialog }
}

/** Rails of every choice of an answer, and of the tools it calls. */
async function finishAnswer(
  turn: Turn,
  answer: ChatAnswer,
  options: GenerationOptions | null | undefined,
): Promise<TurnOutcome> {
  const choices: ChatAnswer['choices'] = []
  for (const choice of answer.choices) {
    const given = messageText(choice.message)
    const calls = choice.message.tool_calls?.length
      ? await runToolOutput(turn, choice.message, options)
      : undefined
    if (calls) return blocked(turn, calls)
    // A call of a tool has no text of its own to check.
    if (given === '' && choice.message.tool_calls?.length) {
      choices.push(choice)
      continue
    }
    const { text, block } = await runOutput(turn, given, options)
    if (block) return blocked(turn, block)
    choices.push(
      text === given ? choice : { ...choice, message: { ...choice.message, content: text }, logprobs: null },
    )
  }
  const text = messageText(choices[0]?.message)
  return { turn, block: undefined, answer: { ...answer, choices }, text, dialog: undefined }
}

function blocked(turn: Turn, block: Block): TurnOutcome {
  turn.variables.bot_message = block.message
  return { turn, block, answer: undefined, text: block.message, dialog: undefined }
}

function said(turn: Turn, text: string): TurnOutcome {
  return { turn, block: undefined, answer: undefined, text, dialog: undefined }
}
