// SPDX-License-Identifier: Apache-2.0
import type { Case } from './guardrails-cases.ts'

const INTENTS = `define user express greeting
  "hello there friend"

define user ask weather
  "what is the weather"
  "will it rain"

define bot express greeting
  "Hello!"

define bot inform weather
  "It is sunny."

define flow greeting
  user express greeting
  bot express greeting

define flow weather
  user ask weather
  bot inform weather

define flow lost
  user be lost
  bot say lost "I am lost."

`
/** Intents by similarity alone, with the same vectors on both sides. */
const nearest = (id: string, options: string, turns: string[], more: Partial<Case> = {}): Case => ({
  id: `similar: ${id}`,
  rail: 'dialog by similarity',
  yaml: `rails: {dialog: {user_messages: {embeddings_only: true${options}}}}\n`,
  colang: INTENTS,
  turns,
  says: { generate_user_intent: ['be lost'], generate_next_steps: ['bot inform weather'] },
  ...more,
})
const THRESHOLD = ', embeddings_only_similarity_threshold: 0.75'
const FALLBACK = ', embeddings_only_fallback_intent: be lost'

/** Rails around a dialog. */
const guarded = (id: string, yaml: string, colang: string, more: Partial<Case> = {}): Case => ({
  id: `dialog with rails: ${id}`,
  rail: 'dialog with rails',
  yaml,
  colang: INTENTS + colang,
  turns: ['a bad word', 'fine'],
  says: { generate_user_intent: ['express greeting', 'ask weather'] },
  judgeYes: 'bad',
  ...more,
})
const INPUT = 'rails: {input: {flows: [self check input]}}\n'
const OUTPUT = 'rails: {output: {flows: [self check output]}}\n'

const LONG = 'word '.repeat(30).trim()
const heuristics = (
  id: string,
  user: string,
  perplexity: Case['perplexity'],
  config = '',
  why?: string,
): Case => ({
  id: `jailbreak: ${id}`,
  rail: 'jailbreak heuristics',
  yaml: `rails:\n  input: {flows: [jailbreak detection heuristics]}\n${config}`,
  user,
  perplexity: perplexity ?? { whole: 20 },
  ...(why && { why }),
})
const LIMITS =
  '  config: {jailbreak_detection: {length_per_perplexity_threshold: 2.0, prefix_suffix_perplexity_threshold: 100.0}}\n'

const stream = (id: string, chunks: string, options: string, more: Partial<Case> = {}): Case => ({
  id: `stream: ${id}`,
  rail: 'streamed output',
  yaml: `rails:\n  output:\n    flows: [self check output]\n    streaming: {enabled: true${options}}\n`,
  stream: chunks.split(/(?<= )/),
  judgeYes: 'BAD',
  ...more,
})
const SMALL = ', chunk_size: 4, context_size: 2'
const FINE = 'one two three four five six seven eight nine ten'
const at = (place: number) => FINE.split(' ').with(place, 'BAD').join(' ')

const USED_TOOL = [
  { role: 'user', content: 'what is in the file?' },
  {
    role: 'assistant',
    content: '',
    tool_calls: [{ id: 'c1', type: 'function', function: { name: 'read', arguments: '{}' } }],
  },
]
const toolResult = (content: string) => [
  ...USED_TOOL,
  { role: 'tool', name: 'read', tool_call_id: 'c1', content },
]
const TOOL_IN = `define subflow check tool result
  if "secret" in $tool_message
    bot refuse to respond
    stop
`
const TOOL_OUT = `define subflow check tool calls
  $allowed = execute allow_calls(tool_calls=$tool_calls)
  if not $allowed
    bot refuse to respond
    stop
`
const tools = (id: string, stage: string, more: Partial<Case>): Case => ({
  id: `tools: ${id}`,
  rail: `${stage} rails`,
  yaml: `passthrough: true\nrails: {${stage}: {flows: [${stage === 'tool_input' ? 'check tool result' : 'check tool calls'}]}}\n`,
  colang: stage === 'tool_input' ? TOOL_IN : TOOL_OUT,
  ...more,
})

const HEAD = `import core
import guardrails
import llm

flow main
  activate llm continuation

`
const two = (id: string, colang: string, more: Partial<Case> = {}): Case => ({
  id: `2.x: ${id}`,
  rail: 'Colang 2.x',
  yaml: 'colang_version: "2.x"\n',
  colang: HEAD + colang,
  turns: ['hi there'],
  says: {
    generate_user_intent_from_user_action: ['user intent: user asked something'],
    generate_flow_continuation: ['bot intent: bot answered\nbot action: bot say "Hello from the model"'],
  },
  ...more,
})
const V2_INPUT = `flow input rails $input_text
  $ok = await check user utterance $input_text
  if not $ok
    bot say "Not that."
    abort

flow check user utterance $input_text -> $ok
  $ok = await AllowTextAction(text=$input_text)
  return $ok
`
const V2_OUTPUT = `flow output rails $output_text
  $ok = await AllowTextAction(text=$output_text)
  if not $ok
    bot say "Not said."
    abort
`

const sensitive = (id: string, flow: string, entities: string, text: string, label: string): Case => ({
  id: `sensitive: ${id}`,
  rail: 'sensitive data',
  yaml: `rails:\n  ${flow.endsWith('input') ? 'input' : 'output'}: {flows: [${flow}]}\n  config: {sensitive_data_detection: {input: {entities: [${entities}]}, output: {entities: [${entities}]}}}\n`,
  ...(flow.endsWith('input') ? { user: text } : { main: text }),
  label,
})
/** What the rails should find, by hand: [entity, text, whether it is there]. */
const FOUND: [string, string, boolean][] = [
  ['EMAIL_ADDRESS', 'write to ann.lee@example.org please', true],
  ['EMAIL_ADDRESS', 'write to ann at example please', false],
  ['PHONE_NUMBER', 'call +1 212-555-0147 today', true],
  ['PHONE_NUMBER', 'we sold 212 boxes in 2024', false],
  ['CREDIT_CARD', 'card 4111 1111 1111 1111', true],
  ['CREDIT_CARD', 'card 4111 1111 1111 1112', false],
  ['IBAN_CODE', 'pay to GB82 WEST 1234 5698 7654 32', true],
  ['IBAN_CODE', 'pay to GB82 WEST 1234 5698 7654 33', false],
  ['IP_ADDRESS', 'the host is 192.168.10.4', true],
  ['IP_ADDRESS', 'version 1.2 of the host', false],
  ['US_SSN', 'my social security number is 536-22-8726', true],
  ['US_SSN', 'ticket 000-12-3456', false],
  ['URL', 'see https://example.org/a?b=1', true],
  ['CRYPTO', 'send to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT', true],
  ['CRYPTO', 'send to 1BoatSLRHtKNngkdXEeobR76b53LETtpyX', false],
  ['PERSON', 'I am Margaret Miller', true],
  ['PERSON', 'the quick brown fox', false],
  ['DATE_TIME', 'born on 1984-03-12', true],
]

/** Dialogs by similarity and behind rails, jailbreak heuristics, tools, streams, Colang 2.x and sensitive data. */
export const MORE_CASES: Case[] = [
  ...['yes', 'no', 'Yes', 'No', 'maybe'].map((judge) =>
    guarded(`hallucination, ${judge}`, 'rails: {output: {flows: [self check hallucination]}}\n', '', {
      context: { check_hallucination: true },
      turns: ['joke'],
      says: {
        generate_user_intent: ['ask joke'],
        generate_next_steps: ['bot tell joke'],
        generate_bot_message: ['A joke.'],
      },
      judge,
      judgeYes: undefined,
    }),
  ),
  {
    id: 'hallucination without a dialog',
    rail: 'self check hallucination',
    yaml: 'rails: {output: {flows: [self check hallucination]}}\n',
    context: { check_hallucination: true },
    judge: 'no',
    why: 'the check has nothing to go by there unless a dialog generated the answer',
  },
  ...['one secret', 'nothing'].map(
    (chunks): Case => ({
      id: `retrieval of a fact, then its check: ${chunks}`,
      rail: 'self check facts',
      yaml: 'rails: {output: {flows: [self check facts]}}\n',
      context: { check_facts: true, relevant_chunks: chunks },
      judgeYes: 'secret',
    }),
  ),
  guarded('refused, then said otherwise', INPUT, '', {
    turns: ['a bad word', 'a kind word', 'a bad word'],
    says: { generate_user_intent: ['express greeting', 'ask weather'] },
  }),
  guarded(
    'both rails pass',
    'rails: {input: {flows: [self check input]}, output: {flows: [self check output]}}\n',
    '',
    {
      turns: ['good', 'better'],
    },
  ),
  guarded('rails that are not wanted', INPUT, '', { rails: ['dialog'] }),
  nearest('the nearest', '', ['hello there friend', 'will it rain today']),
  nearest('far from all', '', ['quantum chromodynamics']),
  nearest('above the threshold', THRESHOLD, ['hello there my friend']),
  nearest('below the threshold, the model is asked', THRESHOLD, ['completely other words']),
  nearest('below the threshold, a fallback', THRESHOLD + FALLBACK, ['completely other words']),
  nearest('near the threshold', THRESHOLD + FALLBACK, ['what is it', 'is the rain', 'the weather']),
  nearest('a high threshold', `, embeddings_only_similarity_threshold: 0.95${FALLBACK}`, [
    'hello there my friend',
    'hello there friend',
  ]),
  nearest('a low threshold', `, embeddings_only_similarity_threshold: 0.4${FALLBACK}`, [
    'rain',
    'friend or foe',
  ]),
  guarded('an input rail blocks', INPUT, ''),
  guarded('an input rail passes', INPUT, '', { turns: ['good', 'fine'] }),
  guarded('an output rail does not see fixed messages', OUTPUT, '', { judge: 'Yes', judgeYes: 'sunny' }),
  guarded('an output rail sees generated messages', OUTPUT, '', {
    turns: ['joke'],
    says: {
      generate_user_intent: ['ask joke'],
      generate_next_steps: ['bot tell joke'],
      generate_bot_message: ['A bad joke.'],
    },
  }),
  guarded('an output rail passes generated messages', OUTPUT, '', {
    turns: ['joke'],
    says: {
      generate_user_intent: ['ask joke'],
      generate_next_steps: ['bot tell joke'],
      generate_bot_message: ['A joke.'],
    },
  }),
  guarded('an output rail sees what a variable holds', OUTPUT, '', {
    colang:
      'define user ask\n  "ask"\n\ndefine flow ask\n  user ask\n  $answer = execute look_up\n  bot $answer\n',
    turns: ['ask'],
    says: { generate_user_intent: ['ask'] },
    actions: { look_up: ['a bad text'] },
  }),
  guarded(
    'an input rail of a flow',
    'rails: {input: {flows: [check words]}}\n',
    'define flow check words\n  if "bad" in $user_message\n    bot refuse to respond\n    stop\n',
  ),
  guarded('an input rail that changes the text', 'rails: {input: {flows: [clean]}}\n', '', {
    colang:
      'define subflow clean\n  $user_message = execute clean_up(text=$user_message)\n\ndefine user ask\n  "ask"\n\ndefine flow ask\n  user ask\n  bot say it "You said $user_message"\n',
    turns: ['ask'],
    says: { generate_user_intent: ['ask'] },
    actions: { clean_up: ['something clean'] },
  }),
  heuristics('likely', LONG, { whole: 20 }),
  heuristics('long and very smooth', 'word '.repeat(400).trim(), { whole: 3 }),
  heuristics('short and smooth', 'hello', { whole: 1 }),
  heuristics('at the limit', LONG, { whole: 149 / 2 }, LIMITS),
  heuristics('below the limit', LONG, { whole: 149 / 1.9 }, LIMITS),
  heuristics('an unlikely end', `${LONG} zxq vbn qwp zzk`, { whole: 500, word: 'zxq', edge: 5000 }),
  heuristics('an unlikely beginning', `zxq vbn ${LONG}`, { whole: 500, word: 'zxq', edge: 5000 }),
  heuristics('an unlikely middle', `${LONG} zxq ${LONG}`, { whole: 500, word: 'zxq', edge: 5000 }),
  heuristics('a short text has no ends', 'zxq vbn qwp', { whole: 5000, word: 'zxq', edge: 5000 }),
  heuristics('an end below the limit', `${LONG} zxq`, { whole: 500, word: 'zxq', edge: 1000 }),
  heuristics(
    'the last word alone',
    `${LONG} zxq`,
    { whole: 500, word: 'zxq', edge: 5000 },
    '',
    'the end there is without the last word',
  ),
  heuristics('limits of its own', `zxq ${LONG}`, { whole: 500, word: 'zxq', edge: 150 }, LIMITS),
  stream('passes', FINE, SMALL),
  stream('bad at the beginning', at(0), SMALL),
  stream('bad in the first window', at(3), SMALL),
  stream('bad in the second window', at(4), SMALL),
  stream('bad in the middle', at(6), SMALL),
  stream('bad at the end', at(9), SMALL),
  stream('one window', at(5), ', chunk_size: 200, context_size: 50'),
  stream('no second look', at(8), ', chunk_size: 3, context_size: 1'),
  stream('held back, passes', FINE, `${SMALL}, stream_first: false`),
  ...[0, 3, 4, 6, 9].map((place) =>
    stream(`held back, bad at ${place}`, at(place), `${SMALL}, stream_first: false`),
  ),
  stream('blocked before the answer', FINE, SMALL, {
    yaml: 'rails: {input: {flows: [self check input]}}\n',
    user: 'a BAD one',
  }),
  stream('input passes, no output rails', at(3), '', {
    yaml: 'rails: {input: {flows: [self check input]}}\n',
  }),
  stream('two rails', at(5), '', {
    yaml: `rails:\n  output:\n    flows: [regex check output, self check output]\n    streaming: {enabled: true${SMALL}}\n  config: {regex_detection: {output: {patterns: ["seven"]}}}\n`,
  }),
  stream('side by side', at(5), '', {
    yaml: `rails:\n  output:\n    parallel: true\n    flows: [self check output]\n    streaming: {enabled: true${SMALL}}\n`,
  }),
  stream('words', at(5), '', {
    yaml: `rails:\n  output:\n    flows: [regex check output]\n    streaming: {enabled: true${SMALL}}\n  config: {regex_detection: {output: {patterns: ["BAD"]}}}\n`,
  }),
  stream('words over two windows', 'one two three BAD THING five', '', {
    yaml: `rails:\n  output:\n    flows: [regex check output]\n    streaming: {enabled: true${SMALL}}\n  config: {regex_detection: {output: {patterns: ["BAD THING"]}}}\n`,
  }),
  tools('a result passes', 'tool_input', {
    messages: toolResult('plain text'),
    why: 'the model is not asked there after rails of tool results',
  }),
  tools('a result is refused', 'tool_input', { messages: toolResult('the secret') }),
  tools('calls pass', 'tool_output', {
    calls: [{ name: 'read', arguments: {} }],
    actions: { allow_calls: [true] },
  }),
  tools('calls are refused', 'tool_output', {
    calls: [{ name: 'delete', arguments: {} }],
    actions: { allow_calls: [false] },
  }),
  tools('no calls', 'tool_output', { actions: { allow_calls: [false] } }),
  two('no rails', ''),
  two('input passes', V2_INPUT, { actions: { AllowTextAction: [true] } }),
  two('input is refused', V2_INPUT, { actions: { AllowTextAction: [false] } }),
  two('output passes', V2_OUTPUT, { actions: { AllowTextAction: [true] } }),
  two('output is refused', V2_OUTPUT, { actions: { AllowTextAction: [false] } }),
  two('both pass', V2_INPUT + V2_OUTPUT, { actions: { AllowTextAction: [true, true] } }),
  two('both, output is refused', V2_INPUT + V2_OUTPUT, { actions: { AllowTextAction: [true, false] } }),
  two('both, input is refused', V2_INPUT + V2_OUTPUT, { actions: { AllowTextAction: [false, true] } }),
  two(
    'a word in the input',
    'flow input rails $input_text\n  if "there" in $input_text\n    bot say "No there."\n    abort\n',
  ),
  two(
    'no such word',
    'flow input rails $input_text\n  if "where" in $input_text\n    bot say "No where."\n    abort\n',
  ),
  two(
    'the length of the input',
    'flow input rails $input_text\n  $n = len($input_text)\n  if $n > 5\n    bot say "Too long: {$n}."\n    abort\n',
  ),
  ...FOUND.flatMap(([entity, text, found]): Case[] => [
    sensitive(
      `${entity} in ${text}`,
      'detect sensitive data on input',
      entity,
      text,
      found ? 'blocked' : 'answered',
    ),
    sensitive(
      `${entity} in the answer ${text}`,
      'detect sensitive data on output',
      entity,
      text,
      found ? 'blocked' : 'answered',
    ),
  ]),
  sensitive(
    'masked',
    'mask sensitive data on output',
    'EMAIL_ADDRESS',
    'mail ann@example.org now',
    'changed: mail <EMAIL_ADDRESS> now',
  ),
  sensitive(
    'two masked',
    'mask sensitive data on output',
    'EMAIL_ADDRESS, US_SSN',
    'ann@example.org has 536-22-8726',
    'changed: <EMAIL_ADDRESS> has <US_SSN>',
  ),
  sensitive('nothing to mask', 'mask sensitive data on output', 'EMAIL_ADDRESS', 'nothing here', 'answered'),
]
