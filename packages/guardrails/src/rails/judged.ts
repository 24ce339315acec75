// SPDX-License-Identifier: Apache-2.0
import type { RailCall } from '../engine/compiled.ts'
import { lastIndex, withText } from '../engine/text.ts'
import type { Message, Stage } from '../engine/types.ts'
import {
  type OutputParser,
  parseLlamaGuard,
  parsePromptSafety,
  parseResponseSafety,
  parseShouldBlock,
  parseSupported,
  parseTopic,
} from '../prompts/parsers.ts'
import { judge } from './judge.ts'
import { ALLOW, INCOMING, OUTGOING, type Preparation, type RailKind } from './types.ts'

interface JudgedKind {
  name: string
  stages: readonly Stage[]
  /** Also the task, to which ` $model=x` is added for rails that name their model. */
  action: string
  parser: OutputParser
  /** The model's type is a parameter of the flow (`$model=`), or this one. */
  model: 'parameter' | 'task' | string
  arrange?: (messages: Message[], call: RailCall) => Message[]
  /** Whether there is something to judge. */
  applies?: (call: RailCall) => boolean
}

function judged(kind: JudgedKind): RailKind {
  const { name, stages, action } = kind
  return {
    name,
    stages,
    action,
    usesModel: true,
    prepare(on) {
      const { task, types } = modelsOf(kind, on)
      const prompt = on.prompt(task)
      const parser = prompt.parser ?? kind.parser
      return async (call) => {
        if (kind.applies && !kind.applies(call)) return ALLOW
        const { arrange } = kind
        const arranged = arrange ? { arrange: (m: Message[]) => arrange(m, call) } : {}
        return judge({ call, action, task, prompt, types, parser, ...arranged })
      }
    },
  }
}

function modelsOf(kind: JudgedKind, on: Preparation): { task: string; types: string[] } {
  if (kind.model === 'task') {
    const task = on.params.variant ?? kind.action
    return { task, types: [task] }
  }
  if (kind.model !== 'parameter') {
    on.needModel(kind.model)
    return { task: kind.action, types: [kind.model] }
  }
  const type = on.params.model
  if (!type) throw new Error(`the rail needs a model: "${kind.name} $model=<type of a model>"`)
  on.needModel(type)
  return { task: `${kind.action} $model=${type}`, types: [type] }
}

/** The system prompt says what is on topic; the conversation follows it as messages. */
function topicMessages(rendered: Message[], { turn, text }: RailCall): Message[] {
  const [system] = rendered
  const rules = typeof system?.content === 'string' ? system.content : ''
  const asks = /off-topic/.test(rules) ? rules : `${rules.trimEnd()}\n\n${TOPIC_QUESTION}`
  const said = turn.messages.filter((m) => m.role === 'user' || m.role === 'assistant')
  const last = lastIndex(said, 'user')
  const conversation = said.slice(0, last + 1).map((m, i) => (i === last ? withText(m, text) : m))
  return [{ role: 'system', content: asks }, ...(last < 0 ? [{ role: 'user', content: text }] : conversation)]
}

const TOPIC_QUESTION =
  'Answer "off-topic" when the last user message breaks one of these rules, and "on-topic" when it keeps to all of ' +
  'them. Answer with that one word only.'

const isSet = (value: unknown) => value === true || value === 'True' || value === 'true'

/** Rails that ask a model for a verdict. */
export const judgedRails: RailKind[] = [
  judged({
    name: 'self check input',
    stages: INCOMING,
    action: 'self_check_input',
    parser: parseShouldBlock,
    model: 'task',
  }),
  judged({
    name: 'self check output',
    stages: OUTGOING,
    action: 'self_check_output',
    parser: parseShouldBlock,
    model: 'task',
  }),
  judged({
    name: 'self check facts',
    stages: ['output'],
    action: 'self_check_facts',
    parser: parseSupported,
    model: 'task',
    applies: ({ turn: { variables } }) =>
      isSet(variables.check_facts) && textOf(variables.relevant_chunks) !== '',
  }),
  judged({
    name: 'llama guard check input',
    stages: INCOMING,
    action: 'llama_guard_check_input',
    parser: parseLlamaGuard,
    model: 'llama_guard',
  }),
  judged({
    name: 'llama guard check output',
    stages: OUTGOING,
    action: 'llama_guard_check_output',
    parser: parseLlamaGuard,
    model: 'llama_guard',
  }),
  judged({
    name: 'content safety check input',
    stages: INCOMING,
    action: 'content_safety_check_input',
    parser: parsePromptSafety,
    model: 'parameter',
  }),
  judged({
    name: 'content safety check output',
    stages: OUTGOING,
    action: 'content_safety_check_output',
    parser: parseResponseSafety,
    model: 'parameter',
  }),
  judged({
    name: 'topic safety check input',
    stages: ['input'],
    action: 'topic_safety_check_input',
    parser: parseTopic,
    model: 'parameter',
    arrange: topicMessages,
  }),
]

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : Array.isArray(value) ? value.join('\n').trim() : ''
}
