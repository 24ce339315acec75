// SPDX-License-Identifier: Apache-2.0
import type { Case } from './guardrails-cases.ts'

const USERS = `define user express greeting
  "hello"
  "good morning to you"

define user ask weather
  "what is the weather like"
  "will it rain today"

define user say yes
  "yes please"

define user say no
  "no thanks"

define user give name
  "my name is Bob"

define bot express greeting
  "Hello!"

define bot inform weather
  "It is sunny."

define bot offer help
  "Can I help?"

`
const GREETING = `define flow greeting
  user express greeting
  bot express greeting

define flow weather
  user ask weather
  bot inform weather

`

/** A text of its own needs a name there; here it is made of its words. */
const named = (colang: string) =>
  colang.replace(/bot "(.*)"/g, (_, text: string) => `bot say ${text.replace(/\W+/g, ' ').trim()} "${text}"`)

/** A dialog: flows, what the user says, and the intents that the model finds. */
const dialog = (id: string, colang: string, intents: string[], more: Partial<Case> = {}): Case => ({
  id: `dialog: ${id}`,
  rail: 'dialog',
  yaml: '',
  colang: USERS + named(colang),
  turns: intents.map((intent, i) => `message ${i + 1} about ${intent}`),
  ...more,
  says: { generate_user_intent: intents, ...more.says },
})

const greet = (body: string) =>
  `define flow one\n  user express greeting\n${body.replace(/^(?=.)/gm, '  ')}\n\n`
/** A flow that runs after a greeting, and what it says. */
const body = (id: string, statements: string, more: Partial<Case> = {}): Case =>
  dialog(id, greet(statements), ['express greeting'], more)

const INTENT_ANSWERS: [string, string?][] = [
  ['express greeting'],
  ['  express greeting  \nand more'],
  ['user express greeting'],
  ['\n\nexpress greeting'],
  ['something else'],
  [''],
  ['"express greeting"', 'quotes around the intent are read as the intent'],
  ['User intent: express greeting', 'the label before the intent is left out whatever the prompt'],
]
const NEXT_ANSWERS = [
  'bot express greeting',
  'bot offer help',
  'bot inform weather "It rains"',
  'bot inform weather, and more',
  'bot tell a story',
  'Something',
  '',
  'user says\nbot offer help',
  '\nbot offer help',
]
const MESSAGE_ANSWERS: [string, string?][] = [
  ['Once upon a time.'],
  ['"Once upon a time."'],
  ['  "Once upon a time."'],
  ['Once upon\na time.'],
  ['"Once upon\na time."'],
  [''],
  ['Bot message: "Once."', 'the label before the text is left out whatever the prompt'],
]
const VALUES: [string, string?][] = [
  ['"Bob"'],
  ["'Bob'"],
  ['42'],
  ['4.5'],
  ['True'],
  ['None'],
  ['"Bob";'],
  ['"Bob"\nmore'],
  ['Bob'],
  ['import os'],
  ['-3'],
]

const flow = (id: string, colang: string, intents: string[], more: Partial<Case> = {}) =>
  dialog(id, colang, intents, more)

const ASK = `define flow ask
  user express greeting
  bot offer help
  when user say yes
    bot "Good."
  else when user say no
    bot "Bye."

`
const ORDER = `define subflow check order
  $order = execute find_order(number=$number)
  if $order.found
    bot "Order $number is on its way."
  else
    bot "There is no order $number."

define flow order
  user express greeting
  $number = 7
  do check order
  bot offer help
`
const RETURNS: [string, unknown, string][] = [
  ['true', true, 'if $r\n  bot "yes"\nelse\n  bot "no"'],
  ['false', false, 'if $r\n  bot "yes"\nelse\n  bot "no"'],
  ['zero', 0, 'if $r\n  bot "yes"\nelse\n  bot "no"'],
  ['none', null, 'if $r is None\n  bot "yes"\nelse\n  bot "no"'],
  ['a number', 12, 'if $r > 10\n  bot "much: $r"\nelse\n  bot "little"'],
  ['a text', 'red', 'if $r == "red"\n  bot "It is $r."\nelse\n  bot "other"'],
  ['an empty list', [], 'if len($r) == 0\n  bot "none"\nelse\n  bot "some"'],
  ['a list', ['a', 'b'], 'if "b" in $r\n  bot "there"\nelse\n  bot "not there"'],
  ['a mapping', { state: 'open' }, 'if $r["state"] == "open"\n  bot "open"\nelse\n  bot "closed"'],
  ['a member', { state: 'shut' }, 'if $r.state == "open"\n  bot "open"\nelse\n  bot "closed"'],
]
const LISTS = 'expressions have lists here'
const TESTS: [string, string, string?][] = [
  ['$n == 3', '3'],
  ['$n != 3', '3'],
  ['$n > 2 and $n < 5', '3'],
  ['$n < 2 or $n > 5', '3'],
  ['not $n == 3', '3'],
  ['$n + 1 == 4', '3'],
  ['$n % 2 == 1', '3'],
  ['$n // 2 == 1', '3'],
  ['$n * 2 >= 6', '3'],
  ['len($n) == 2', '"ab"'],
  ['"a" in $n', '"abc"'],
  ['"z" not in $n', '"abc"'],
  ['$n[0] == "a"', '"abc"'],
  ['$n', '""'],
  ['$n', 'None'],
  ['$n is None', 'None'],
  ['$n is not None', '0'],
  ['$n == "x" or $n == "y"', '"y"'],
  ['len($n) > 1', '[1, 2]', LISTS],
  ['$n * 2 + 1 == 7', '3'],
  ['$n > 1 and $n == 3 or $n == 9', '3'],
  ['"b" in $n and len($n) < 3', '"abc"'],
  ['not $n', '0'],
  ['$n - 1 > 1', '3'],
  ['$n / 2 == 1.5', '3'],
  ['$n ** 2 == 9', '3'],
  ['-$n < 0', '3'],
  ['$n <= 3', '3'],
  ['$n >= 3.5', '3'],
  ['$n == 3.0', '3'],
  ['1 < $n', '3'],
  ['1 < $n and $n <= 3', '3'],
  ['($n == 1 or $n == 3) and $n > 2', '3'],
  ['not ($n == 1 or $n == 3)', '3'],
  ['$n == "3"', '3'],
  ['$n == True', 'True'],
  ['$n is True', 'True'],
  ['$n == False', '0'],
  ['$n + "c" == "abc"', '"ab"'],
  ['len($n) - 1 == 1', '"ab"'],
  ['$n == "a\'b"', '"a\'b"'],
  ['$n[-1] == "c"', '"abc"'],
  ['$n < "b"', '"abc"'],
  ['"x" if $n else "y"', '0'],
]

/** Conversations of Colang 1.0. */
export const DIALOG_CASES: Case[] = [
  dialog('two flows', GREETING, ['express greeting', 'ask weather']),
  ...INTENT_ANSWERS.map(([said, why]) =>
    dialog(`the intent is answered ${JSON.stringify(said)}`, GREETING, [said], {
      says: { generate_next_steps: ['bot offer help'] },
      ...(why && { why }),
    }),
  ),
  ...NEXT_ANSWERS.map((said) =>
    dialog(`the next step is answered ${JSON.stringify(said)}`, GREETING, ['ask joke'], {
      says: { generate_next_steps: [said], generate_bot_message: ['A made text.'] },
    }),
  ),
  ...MESSAGE_ANSWERS.map(([said, why]) =>
    body(`the text is answered ${JSON.stringify(said)}`, 'bot tell story', {
      says: { generate_bot_message: [said] },
      ...(why && { why }),
    }),
  ),
  ...VALUES.map(([said, why]) =>
    body(`the value is answered ${JSON.stringify(said)}`, '# the name\n$x = ...\nbot "It is $x."', {
      says: { generate_value: [said] },
      ...(why && { why }),
    }),
  ),
  ...RETURNS.map(([id, value, statements]) =>
    body(`an action returns ${id}`, `$r = execute look_up\n${statements}`, { actions: { look_up: [value] } }),
  ),
  ...TESTS.map(([test, value, why]) =>
    body(
      `if ${test} of ${value}`,
      `$n = ${value}\nif ${test}\n  bot "yes"\nelse\n  bot "no"`,
      why ? { why } : {},
    ),
  ),
  body('an action fails', '$r = execute look_up\nbot "after"', { actions: { look_up: [{ fail: true }] } }),
  body('an action without a result', 'execute look_up\nbot "after"', { actions: { look_up: [1] } }),
  body('an action with parameters', '$n = 4\n$r = execute look_up(a=$n, b="x")\nbot "got $r"', {
    actions: { look_up: [{ echo: 'a' }] },
  }),
  body('an action twice', '$a = execute look_up\n$b = execute look_up\nbot "$a and $b"', {
    actions: { look_up: [1, 2] },
  }),
  body('elif', '$n = 2\nif $n == 1\n  bot "one"\nelif $n == 2\n  bot "two"\nelse\n  bot "more"', {
    why: 'elif is read here as else if',
  }),
  body('else if', '$n = 3\nif $n == 1\n  bot "one"\nelse if $n == 2\n  bot "two"\nelse\n  bot "more"'),
  body('nested if', '$n = 2\nif $n > 1\n  if $n > 5\n    bot "big"\n  else\n    bot "middle"\nbot "end"'),
  body('if without else', '$n = 2\nif $n > 5\n  bot "big"\nbot "end"'),
  body('while', '$n = 0\nwhile $n < 3\n  $n = $n + 1\nbot "n is $n"'),
  body('while that says', '$n = 0\nwhile $n < 2\n  $n = $n + 1\n  bot "n is $n"\nbot offer help', {
    why: 'there the flow goes on before the text is filled in, and a later value is said',
  }),
  body('while with a break', '$n = 0\nwhile True\n  $n = $n + 1\n  if $n == 4\n    break\nbot "n is $n"'),
  body(
    'while with a continue',
    '$n = 0\n$m = 0\nwhile $n < 4\n  $n = $n + 1\n  if $n == 2\n    continue\n  $m = $m + 1\nbot "m is $m"',
  ),
  body('two messages', 'bot express greeting\nbot offer help'),
  body('a named text of its own', 'bot ask mood "How are you?"'),
  body('stop', 'bot express greeting\nstop\nbot offer help'),
  body('stop in an if', '$n = 1\nif $n == 1\n  bot "first"\n  stop\nbot "second"'),
  body('a variable that is not set', 'bot "It is $nothing."'),
  body('a variable of the context', 'bot "Hello $name."', { context: { name: 'Ann' } }),
  body('a member of the context', 'bot "Hello $person.name."', { context: { person: { name: 'Ann' } } }),
  body('a variable in braces', 'bot "Hello {{ name }}."', { context: { name: 'Ann' } }),
  body('a variable as the text', '$answer = "From a variable"\nbot $answer'),
  body('the last message of the user', 'bot "You said: $last_user_message"'),
  body('a text with a dollar amount', 'bot "It costs 5 dollars, $name!"', { context: { name: 'Ann' } }),
  flow('when, yes', ASK, ['express greeting', 'say yes']),
  flow('when, no', ASK, ['express greeting', 'say no']),
  flow('when, another flow', ASK + GREETING.split('\n\n')[1], ['express greeting', 'ask weather']),
  flow(
    'when, another flow and back',
    `${ASK + GREETING.split('\n\n')[1]}\n`,
    ['express greeting', 'ask weather', 'say yes'],
    {
      says: { generate_next_steps: ['bot offer help'] },
    },
  ),
  flow('a subflow', ORDER, ['express greeting'], { actions: { find_order: [{ found: true }] } }),
  flow('a subflow, other branch', ORDER, ['express greeting'], {
    actions: { find_order: [{ found: false }] },
  }),
  flow(
    'a subflow in a subflow',
    `define subflow a\n  bot "in a"\n  do b\n\ndefine subflow b\n  bot "in b"\n\n${greet('do a\nbot "after"')}`,
    ['express greeting'],
  ),
  flow(
    'a subflow that waits',
    `define subflow ask name\n  bot "Your name?"\n  user give name\n  bot "Thanks."\n\n${greet('do ask name\nbot offer help')}`,
    ['express greeting', 'give name'],
  ),
  flow(
    'a subflow that sets',
    `define subflow count\n  $n = $n + 1\n\n${greet('$n = 1\ndo count\ndo count\nbot "n is $n"')}`,
    ['express greeting'],
  ),
  flow('two turns in a flow', greet('bot "Your name?"\nuser give name\nbot "Nice."'), [
    'express greeting',
    'give name',
  ]),
  flow('a flow begins again', GREETING, ['express greeting', 'express greeting']),
  flow('a variable over turns', greet('$n = 5\nbot "Your name?"\nuser give name\nbot "n is $n"'), [
    'express greeting',
    'give name',
  ]),
  flow(
    'a value over turns',
    `${greet('$n = 5\nbot express greeting')}define flow two\n  user ask weather\n  bot "n is $n"\n`,
    ['express greeting', 'ask weather'],
  ),
  flow(
    'interrupted, goes on',
    `${greet('bot "Your name?"\nuser give name\nbot "Nice."')}define flow weather\n  user ask weather\n  bot inform weather\n`,
    ['express greeting', 'ask weather', 'give name'],
    {
      says: { generate_next_steps: ['bot offer help'] },
    },
  ),
  flow(
    'an extension in between',
    `${greet('bot "Your name?"\nuser give name\nbot "Nice."')}define extension flow weather\n  user ask weather\n  bot inform weather\n`,
    ['express greeting', 'ask weather', 'give name'],
    {
      says: { generate_next_steps: ['bot offer help'] },
      why: 'there an extension that ends wakes the flow that asks the model for a next step too',
    },
  ),
  flow(
    'an extension asks again',
    `${greet('bot "Your name?"\nuser give name\nbot "Nice."')}define extension flow weather\n  user ask weather\n  bot inform weather\n  bot "So?"\n`,
    ['express greeting', 'ask weather', 'give name'],
  ),
  flow(
    'priorities',
    `define flow low\n  priority 0.5\n  user express greeting\n  bot "low"\n\ndefine flow high\n  priority 2\n  user express greeting\n  bot "high"\n`,
    ['express greeting'],
  ),
  flow(
    'equal priorities',
    `define flow first\n  user express greeting\n  bot "first"\n\ndefine flow second\n  user express greeting\n  bot "second"\n`,
    ['express greeting'],
  ),
  flow(
    'two flows, one goes on',
    `define flow first\n  user express greeting\n  bot express greeting\n  bot "first"\n\ndefine flow second\n  user express greeting\n  bot express greeting\n  bot "second"\n`,
    ['express greeting'],
  ),
  flow(
    'after what the bot says',
    `${greet('bot express greeting')}define flow more\n  bot express greeting\n  bot offer help\n`,
    ['express greeting'],
  ),
  flow('a flow without a name', 'define flow\n  user express greeting\n  bot "unnamed"\n', [
    'express greeting',
  ]),
  flow('any message', 'define flow any\n  user ...\n  bot "Whatever."\n', ['anything']),
  flow(
    'any message has less priority',
    `${GREETING}define flow any\n  priority 0.5\n  user ...\n  bot "Whatever."\n`,
    ['express greeting', 'else'],
  ),
  flow(
    'an if before the first message',
    'define flow open\n  if $open\n    user express greeting\n    bot "open"\n',
    ['express greeting'],
    { context: { open: true } },
  ),
  flow('goto', greet('$n = 0\nlabel again\n$n = $n + 1\nif $n < 3\n  goto again\nbot "n is $n"'), [
    'express greeting',
  ]),
  flow('an event', `${greet('create event Ping(n=3)')}define flow ping\n  event Ping\n  bot "ping"\n`, [
    'express greeting',
  ]),
  flow(
    'an event that does not match',
    `${greet('create event Ping(n=3)\nbot offer help')}define flow ping\n  event Ping(n=4)\n  bot "ping"\n`,
    ['express greeting'],
  ),
  flow('a generated text, then a fixed one', greet('bot tell story\nbot offer help'), ['express greeting'], {
    says: { generate_bot_message: ['A story.'] },
  }),
  flow('an unknown intent, then a known one', GREETING, ['chat', 'express greeting'], {
    says: { generate_next_steps: ['bot chat'], generate_bot_message: ['Chatting.'] },
  }),
  flow(
    'a greeting after a generated step',
    `define flow help\n  bot offer help\n  user say yes\n  bot "Here."\n`,
    ['chat', 'say yes'],
    {
      says: { generate_next_steps: ['bot offer help'] },
    },
  ),
]
