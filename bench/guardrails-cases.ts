// SPDX-License-Identifier: Apache-2.0
import type { Message } from '@open-nemo/guardrails'

/** A turn or a conversation that both engines are given: a configuration, and what the scripted models say. */
export interface Case {
  id: string
  rail: string
  /** YAML after the shared models and prompts. */
  yaml: string
  colang?: string
  /** Colang that only the toolkit needs, such as the imports of 2.x. */
  there?: string
  user?: string
  /** What users say in a conversation; each is answered before the next. */
  turns?: string[]
  /** The whole conversation, in place of `user`. */
  messages?: Message[]
  /** What every judge answers; a number is the status of a failure. */
  judge?: string | number
  /** Judges answer Yes to what holds this, and else No. */
  judgeYes?: string | undefined
  /** What the main model answers. */
  main?: string
  /** What the main model answers to the tasks of a dialog, in turn. */
  says?: Record<string, string[]>
  /** The tools that the main model calls. */
  calls?: { name: string; arguments: Record<string, unknown> }[]
  /** The chunks in which the main model answers a stream. */
  stream?: string[]
  /** What the actions of flows return, in turn: `{echo: name}` is a parameter, `{fail: true}` a failure. */
  actions?: Record<string, unknown[]>
  /** Scores of the whole text, and of an end of it that holds the word. */
  perplexity?: { whole: number; word?: string; edge?: number }
  context?: Record<string, unknown>
  /** `options.rails`. */
  rails?: string[]
  /** The last message of the conversation, an answer to check. */
  assistant?: string
  /** Decision by hand, where the toolkit would need a download. */
  label?: string
  /** Why the two differ, where they do. */
  why?: string
}

export const DEFAULTS = { user: 'hi there', judge: 'No', main: 'Hello from the model' }

/** A case with what it leaves out. */
export const full = (one: Case): Case => ({ ...DEFAULTS, ...one })

/** Prompts that say which judge is asked, so that the scripted model knows. */
export const PROMPTS = `prompts:
  - {task: self_check_input, content: "JUDGE {{ user_input }}"}
  - {task: self_check_output, content: "JUDGE {{ bot_response }}"}
  - {task: self_check_hallucination, content: "JUDGE {{ statement }} {{ paragraph }}"}
  - {task: self_check_facts, content: "JUDGE {{ evidence }} {{ response }}"}
  - {task: llama_guard_check_input, content: "JUDGE {{ user_input }}"}
  - {task: llama_guard_check_output, content: "JUDGE {{ bot_response }}"}
  - {task: "topic_safety_check_input $model=topic", content: "JUDGE topic"}
  - {task: "content_safety_check_input $model=safety", content: "JUDGE {{ user_input }}", output_parser: nemoguard_parse_prompt_safety}
  - {task: "content_safety_check_output $model=safety", content: "JUDGE {{ bot_response }}", output_parser: nemoguard_parse_response_safety}
  - {task: generate_user_intent, content: "TASK generate_user_intent"}
  - {task: generate_next_steps, content: "TASK generate_next_steps"}
  - {task: generate_bot_message, content: "TASK generate_bot_message"}
  - {task: generate_value, content: "TASK generate_value"}
  - {task: generate_user_intent_from_user_action, content: "TASK generate_user_intent_from_user_action"}
  - {task: generate_flow_continuation, content: "TASK generate_flow_continuation"}
`
export const MODEL_TYPES = ['main', 'llama_guard', 'topic', 'safety']

const flows = (stage: string, flow: string, config = '') =>
  `rails:\n${config}  ${stage}: {flows: ["${flow}"]}\n`

const YES_NO = [
  'Yes',
  'yes',
  'No',
  'no',
  'No.',
  'Yes, block it',
  'no way',
  '',
  'maybe',
  'I think yes',
  'safe',
  'unsafe',
  'unsafe\nS1',
  'The answer is no',
  'nope',
  'block',
  '1',
  ' NO',
  '"No"',
  'Not allowed',
  'Yes\nNo',
  'No\nYes',
  'YES!',
  'n',
  'none',
  500,
]
const GUARD = [
  'safe',
  'unsafe\nS1,S3',
  'unsafe',
  'Safe',
  'garbage',
  '',
  'unsafe S9',
  ' safe',
  'UNSAFE\nO1',
  '\n\nsafe',
  503,
]
const PROMPT_SAFETY = [
  '{"User Safety": "safe"}',
  '{"User Safety": "unsafe", "Safety Categories": "Violence, Hate"}',
  '{"User Safety":"unsafe"}',
  'garbage',
  '',
  'safe',
  '{"user safety":"safe"}',
  '{"User Safety": "Unsafe"}',
  '{"User Safety": "SAFE"}',
  '{"Response Safety":"unsafe"}',
  'text {"User Safety": "safe"}',
  '{"User Safety": "safe"} {"User Safety": "unsafe"}',
  500,
]
const RESPONSE_SAFETY = [
  '{"User Safety": "safe", "Response Safety": "safe"}',
  '{"User Safety": "unsafe", "Response Safety": "safe"}',
  '{"Response Safety":"unsafe","Safety Categories":"S1"}',
  '{"User Safety": "unsafe"}',
  'junk',
  '',
  500,
]
const TOPIC = ['on-topic', 'off-topic', 'off topic', '', 'weird', 'Off-Topic', 'Off-Topic.', 500]

const judged = (
  rail: string,
  stage: string,
  flow: string,
  answers: (string | number)[],
  more: Partial<Case> = {},
): Case[] =>
  answers.map((judge) => ({
    id: `${rail}: ${JSON.stringify(judge)}`,
    rail,
    yaml: flows(stage, flow),
    judge,
    ...more,
  }))

const REGEX = (side: string, patterns: string[], i = false) =>
  `  config: {regex_detection: {${side}: {patterns: ${JSON.stringify(patterns)}, case_insensitive: ${i}}}}\n`
const regex = (text: string, patterns: string[], i = false): Case[] => [
  {
    id: `regex input: ${patterns.join(' ')} ${i} in ${text}`,
    rail: 'regex',
    yaml: flows('input', 'regex check input', REGEX('input', patterns, i)),
    user: text,
  },
  {
    id: `regex output: ${patterns.join(' ')} ${i} in ${text}`,
    rail: 'regex',
    yaml: flows('output', 'regex check output', REGEX('output', patterns, i)),
    main: text,
  },
]

const INJECTION =
  '  config: {injection_detection: {injections: [code, sqli, template, xss], action: reject}}\n'
const MORE_FORMS = 'the rules here know more forms of attack'
const injections: [string, string?][] = [
  ['SELECT * FROM users; DROP TABLE x;--'],
  ['<script>alert(1)</script>'],
  ['{{ 7*7 }}'],
  ["import os; os.system('x')"],
  ['hello'],
  ['1; DROP TABLE users'],
  ['{% for x in y %}a{% endfor %}'],
  ["__import__('os')"],
  ['{{config}}'],
  ['You can use the SELECT statement'],
  ['The weather is fine.'],
  ['Prices: 5 < 6 and 7 > 3'],
  ['Choose one or two.'],
  ["It's a nice day - really"],
  ['eval(x)'],
  ['<b>bold</b>'],
  ['Please select one from the menu.'],
  ['Use the union of both sets, and select the rest.'],
  ['A template has two braces.'],
  ['The import duties rise; so do the prices.'],
  ['The script is done, on time = on budget.'],
  ['Drop the table in the corner.'],
  ['Its version() is 5 -- or so they say.'],
  ['Write x = "a" or y = "b" in the form.'],
  ['INSERT INTO t VALUES (1)'],
  ['1 UNION SELECT password FROM users', MORE_FORMS],
  ['<img src=x onerror=alert(1)>', MORE_FORMS],
]

const WORDS = `define bot refuse to respond
  "Not here."

define flow check words
  if "rude" in $user_message
    bot refuse to respond
    stop
`
const SCORE = `define flow check score
  if $score > 3 and not $trusted
    bot refuse to respond
    stop
`
const ACTION = `define flow own check
  $allowed = execute self_check_input
  if $allowed.is_blocked
    bot refuse to respond
    stop
`
const SUB = `define subflow refuse
  bot refuse to respond
  stop

define flow check long
  $n = len($user_message)
  if $n > 10
    do refuse
`
const ELSE = `define flow check kind
  if $kind == "a"
    bot refuse to respond
    stop
  else if $kind == "b"
    bot inform answer unknown
    stop
  else
    $seen = True
`
const colang = (id: string, name: string, source: string, more: Partial<Case>): Case => ({
  id: `colang: ${id}`,
  rail: 'colang rails',
  yaml: flows('input', name),
  colang: source,
  ...more,
})

const BOTH = 'rails:\n  input: {flows: [self check input]}\n  output: {flows: [self check output]}\n'
const PARALLEL = 'rails:\n  input: {parallel: true, flows: [self check input, llama guard check input]}\n'

/** Cases of single rails and their options. */
export const RAIL_CASES: Case[] = [
  ...judged('self check input', 'input', 'self check input', YES_NO),
  ...judged('self check output', 'output', 'self check output', YES_NO),
  ...judged('llama guard input', 'input', 'llama guard check input', GUARD),
  ...judged('llama guard output', 'output', 'llama guard check output', GUARD),
  ...judged('content safety input', 'input', 'content safety check input $model=safety', PROMPT_SAFETY),
  ...judged('content safety output', 'output', 'content safety check output $model=safety', RESPONSE_SAFETY),
  ...judged('topic control', 'input', 'topic safety check input $model=topic', TOPIC).map((c) =>
    c.judge === 'Off-Topic.' ? { ...c, why: 'a judge that ends its word with a period means the same' } : c,
  ),
  ...judged('self check facts', 'output', 'self check facts', ['yes', 'no', 'Yes', 'No', 'maybe', ''], {
    context: { check_facts: true, relevant_chunks: 'A is B.' },
  }),
  ...judged('self check facts, not asked for', 'output', 'self check facts', ['no'], {
    context: { relevant_chunks: 'A.' },
  }),
  ...judged('self check facts, no evidence', 'output', 'self check facts', ['no'], {
    context: { check_facts: true },
  }),
  ...regex('a foo12', ['\\bfoo\\d+']),
  ...regex('a FOO12', ['\\bfoo\\d+']),
  ...regex('a FOO12', ['\\bfoo\\d+'], true),
  ...regex('nothing', ['secret', 'x{3}']),
  ...regex('the secret', ['secret', 'x{3}']),
  ...regex('line\nsecret', ['^secret$']),
  ...regex('line\nsecret', ['(?m)^secret$']),
  ...regex('über', ['\\büber']),
  ...injections.map(
    ([main, why]): Case => ({
      id: `injection: ${main}`,
      rail: 'injection',
      yaml: flows('output', 'injection detection', INJECTION),
      main,
      ...(why ? { why } : {}),
    }),
  ),
  colang('a word', 'check words', WORDS, { user: 'a rude word' }),
  colang('no such word', 'check words', WORDS, { user: 'a kind word' }),
  colang('numbers and not', 'check score', SCORE, { context: { score: 5, trusted: false } }),
  colang('numbers, trusted', 'check score', SCORE, { context: { score: 5, trusted: true } }),
  colang('numbers, low', 'check score', SCORE, { context: { score: 2, trusted: false } }),
  colang('subflow', 'check long', SUB, { user: 'a long sentence it is' }),
  colang('subflow, short', 'check long', SUB, { user: 'short' }),
  colang('if', 'check kind', ELSE, { context: { kind: 'a' } }),
  colang('else if', 'check kind', ELSE, { context: { kind: 'b' } }),
  colang('else', 'check kind', ELSE, { context: { kind: 'c' } }),
  ...['Yes', 'No'].map((judge) => colang(`action, ${judge}`, 'own check', ACTION, { judge })),
  ...['Yes', 'No', 'safe', 'unsafe', ''].map(
    (judge): Case => ({ id: `side by side: ${judge}`, rail: 'parallel', yaml: PARALLEL, judge }),
  ),
  ...['Yes', 'No'].flatMap((judge): Case[] => [
    { id: `both: ${judge}`, rail: 'options', yaml: BOTH, judge },
    { id: `input only: ${judge}`, rail: 'options', yaml: BOTH, judge, rails: ['input'] },
    { id: `output only: ${judge}`, rail: 'options', yaml: BOTH, judge, rails: ['output'], assistant: 'b' },
    {
      id: `input and output: ${judge}`,
      rail: 'options',
      yaml: BOTH,
      judge,
      rails: ['input', 'output'],
      assistant: 'b',
    },
    { id: `no rails: ${judge}`, rail: 'options', yaml: BOTH, judge, rails: ['dialog'] },
    { id: `exceptions: ${judge}`, rail: 'options', yaml: `enable_rails_exceptions: true\n${BOTH}`, judge },
    { id: `passthrough: ${judge}`, rail: 'options', yaml: `passthrough: true\n${BOTH}`, judge },
  ]),
]
