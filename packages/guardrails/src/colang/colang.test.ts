// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigProblems, type DialogTurn, type Message, type RailResult } from '../engine/types.ts'
import { evaluate } from './evaluate.ts'
import { parseExpression } from './expression.ts'
import { compileDialog } from './index.ts'
import { readBotIntent, readBotMessage, readUserIntent, readValue } from './model-turns.ts'

const data = {} as Parameters<typeof compileDialog>[1]
const compile = (text: string) => compileDialog([{ file: 'rails.co', text }], data)

interface Script {
  /** Answers of the model by task, used up in order; the last one stays. */
  answers?: Record<string, string[]>
  actions?: Record<string, (parameters: Record<string, unknown>) => unknown>
  rails?: Record<string, RailResult>
  variables?: Record<string, unknown>
}

function turnOf(messages: Message[], script: Script = {}): DialogTurn & { asked: string[] } {
  const asked: string[] = []
  return {
    messages,
    variables: { ...script.variables },
    signal: new AbortController().signal,
    asked,
    async ask({ task }) {
      asked.push(task)
      const answers = script.answers?.[task] ?? []
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      if (answer === undefined) throw new Error(`the model was not expected to be asked for ${task}`)
      return answer
    },
    answer: async () => 'a plain answer',
    async execute(action, parameters) {
      const run = script.actions?.[action]
      if (!run) throw new Error(`no action ${action}`)
      return run(parameters)
    },
    embed: async () => Promise.reject(new Error('no embedder')),
    runRail: (flow) => {
      const result = script.rails?.[flow]
      return result && Promise.resolve(result)
    },
    decide: () => undefined,
  }
}

const user = (content: string): Message => ({ role: 'user', content })

const GREETING = `
define user express greeting
  "hello"
  "hi there"

define user ask name
  "who are you?"

define bot express greeting
  "Hello $user_name!"

define flow greeting
  user express greeting
  if $known == True and not $busy
    bot express greeting
  else if $busy
    bot say later
      "Later, please."
  else
    bot "Who is there?"
  bot offer help

define bot offer help
  "How can I help?"
`

describe('dialogs', () => {
  it('says predefined messages of the flow that the intent starts, by its variables', async () => {
    const engine = compile(GREETING)
    const script = { answers: { generate_user_intent: ['  express greeting\n'] } }
    const known = await engine.respond(
      turnOf([user('hey')], { ...script, variables: { known: true, user_name: 'Ada' } }),
    )
    assert.deepEqual(known?.messages, ['Hello Ada!', 'How can I help?'])
    assert.equal(known?.generated, false)
    assert.equal(known?.userIntent, 'express greeting')
    const busy = await engine.respond(turnOf([user('hey you')], { ...script, variables: { busy: true } }))
    assert.deepEqual(busy?.messages, ['Later, please.', 'How can I help?'])
    const nobody = await engine.respond(turnOf([user('hey!')], script))
    assert.deepEqual(nobody?.messages, ['Who is there?', 'How can I help?'])
  })

  it('asks the model what to do and to say where no flow knows', async () => {
    const turn = turnOf([user('what is your name?')], {
      answers: {
        generate_user_intent: ['ask name'],
        generate_next_steps: ['bot tell name, gladly'],
        generate_bot_message: ['"I am Nemo."'],
      },
    })
    const outcome = await compile(GREETING).respond(turn)
    assert.deepEqual(outcome?.messages, ['I am Nemo.'])
    assert.deepEqual(outcome?.botIntents, ['tell name'])
    assert.equal(outcome?.generated, true)
    assert.deepEqual(turn.asked, ['generate_user_intent', 'generate_next_steps', 'generate_bot_message'])
  })

  it('goes on with a flow over turns, and back to it after another one', async () => {
    const engine = compile(`
define user order
  "a pizza"
define user say yes
  "yes"
define user ask hours
  "when do you open?"
define bot ask to confirm
  "Sure?"
define bot confirm
  "Done, $count."
define bot tell hours
  "At nine."
define flow ordering
  user order
  $count = 1
  bot ask to confirm
  user say yes
  $count = $count + 1
  bot confirm
define extension flow hours
  user ask hours
  bot tell hours
`)
    const messages: Message[] = []
    const say = async (text: string, intent: string) => {
      messages.push(user(text))
      const outcome = await engine.respond(
        turnOf([...messages], { answers: { generate_user_intent: [intent] } }),
      )
      const answer = outcome?.messages.join('\n') ?? ''
      messages.push({ role: 'assistant', content: answer })
      return answer
    }
    assert.equal(await say('one pizza', 'order'), 'Sure?')
    assert.equal(await say('when are you open', 'ask hours'), 'At nine.')
    assert.equal(await say('ok, yes', 'say yes'), 'Done, 2.')
  })

  it('branches with when, loops with while, calls subflows and actions, generates values', async () => {
    const engine = compile(`
define user ask sum
  "add"
define bot tell
  "It is $total of {{ name }}."
define subflow add up
  $i = 0
  while $i < len($numbers)
    if $numbers[$i] < 0
      $i = $i + 1
      continue
    if $numbers[$i] > 100
      break
    $total = $total + $numbers[$i]
    $i = $i + 1
define flow sums
  user ask sum
  $total = 0
  $numbers = execute fetch(what="numbers", limit=3)
  do add up
  # the name of the user
  $name = ...
  bot tell
`)
    const outcome = await engine.respond(
      turnOf([user('add')], {
        answers: { generate_user_intent: ['ask sum'], generate_value: ['"Ada";'] },
        actions: {
          fetch: ({ what, limit }) => (what === 'numbers' && limit === 3 ? [1, -5, 2, 200, 7] : []),
        },
      }),
    )
    assert.deepEqual(outcome?.messages, ['It is 3 of Ada.'])
  })

  it('takes the branch of what the user says next', async () => {
    const engine = compile(`
define user start
  "go"
define user yes
  "yes"
define user no
  "no"
define flow ask
  user start
  bot "Really?"
  when user yes
    bot "Good."
  else when user no
    bot "Bad."
    stop
  bot "Bye."
`)
    const first = [user('go')]
    await engine.respond(turnOf(first, { answers: { generate_user_intent: ['start'] } }))
    const rest = [...first, { role: 'assistant', content: 'Really?' }]
    const yes = await engine.respond(
      turnOf([...rest, user('y')], { answers: { generate_user_intent: ['yes'] } }),
    )
    assert.deepEqual(yes?.messages, ['Good.', 'Bye.'])
    const no = await engine.respond(
      turnOf([...rest, user('n')], { answers: { generate_user_intent: ['no'] } }),
    )
    assert.deepEqual(no?.messages, ['Bad.'])
    assert.equal(no?.stop, true)
  })

  it('goes on sensibly where it is not remembered, as on another replica', async () => {
    const source =
      'define user greet\n  "hi"\ndefine user give name\n  "Bob"\ndefine flow a\n  user greet\n  bot ask name "Your name?"\n' +
      '  user give name\n  bot thank "Thanks."\n'
    const [one, other] = [compile(source), compile(source)]
    await one.respond(turnOf([user('hello')], { answers: { generate_user_intent: ['greet'] } }))
    const messages = [user('hello'), { role: 'assistant', content: 'Your name?' }, user('Bob')]
    const answers = {
      generate_user_intent: ['give name'],
      generate_next_steps: ['bot thank'],
    }
    const here = turnOf(messages, { answers: { ...answers } })
    assert.deepEqual((await one.respond(here))?.messages, ['Thanks.'])
    assert.deepEqual(here.asked, ['generate_user_intent'])
    const there = turnOf(messages, { answers: { ...answers } })
    const outcome = await other.respond(there)
    assert.deepEqual(outcome?.messages, ['Thanks.'])
    assert.deepEqual(there.asked, ['generate_user_intent', 'generate_next_steps'])
    assert.match(outcome?.history ?? '', /user "hello"\nbot "Your name\?"\nuser "Bob"/)
    const again = turnOf([...messages, { role: 'assistant', content: 'Thanks.' }, user('hi')], {
      answers: { generate_user_intent: ['greet'] },
    })
    assert.deepEqual((await other.respond(again))?.messages, ['Your name?'])
  })

  it('gives way to the model where its flow has less priority, and takes a message back', async () => {
    const engine = compile(
      'define user greet\n  "hi"\ndefine flow any\n  priority 0.5\n  user ...\n  bot "Low."\n' +
        'define flow back\n  user greet\n  bot first "First."\n  bot undo "(remove last message)"\n  bot second "Second."\n',
    )
    const low = turnOf([user('x')], {
      answers: { generate_user_intent: ['other'], generate_next_steps: ['bot second'] },
    })
    assert.deepEqual((await engine.respond(low))?.messages, ['Second.'])
    const back = turnOf([user('hi')], { answers: { generate_user_intent: ['greet'] } })
    assert.deepEqual((await engine.respond(back))?.messages, ['Second.'])
  })

  it('uses the nearest example alone when the configuration says so', async () => {
    const engine = compileDialog([{ file: 'rails.co', text: GREETING }], {
      rails: { dialog: { user_messages: { embeddings_only: true } } },
    } as Parameters<typeof compileDialog>[1])
    const turn = turnOf([user('hi there friend')], { variables: { busy: true } })
    assert.deepEqual((await engine.respond(turn))?.messages, ['Later, please.', 'How can I help?'])
    assert.deepEqual(turn.asked, [])
  })

  it('ends the turn with an apology when an action fails, and with an error when a flow never ends', async () => {
    const failing = compile(
      'define user go\n  "go"\ndefine flow f\n  user go\n  execute missing\n  bot "never"\n',
    )
    const script = { answers: { generate_user_intent: ['go'] } }
    const outcome = await failing.respond(turnOf([user('go')], script))
    assert.match(outcome?.messages.join() ?? '', /internal error/)
    const endless = compile('define user go\n  "go"\ndefine flow f\n  user go\n  while True\n    $x = 1\n')
    await assert.rejects(Promise.resolve(endless.respond(turnOf([user('go')], script))), /for ever/)
    const chatty = compile('define user go\n  "go"\ndefine flow f\n  user go\n  while True\n    bot "and"\n')
    await assert.rejects(Promise.resolve(chatty.respond(turnOf([user('go')], script))), /come to an end/)
  })
})

describe('flows as rails', () => {
  const RAILS = `
define bot inform blocked
  "No $reason here."
define subflow check words
  $found = execute find_words(text=$user_message)
  if $found.hit
    $reason = $found.word
    bot inform blocked
    stop
define flow shout
  $user_message = $user_message.upper()
define flow checked
  do self check input
  do check words
define flow excepting
  create event InputRailException(message="not this")
  stop
`
  const actions = {
    find_words: ({ text }: Record<string, unknown>) => ({ hit: String(text).includes('war'), word: 'war' }),
  }

  it('blocks with what it said, allows, transforms, and calls other rails', async () => {
    const engine = compile(RAILS)
    const run = (flow: string, text: string, rails?: Script['rails']) =>
      engine.runRail(
        flow,
        'input',
        turnOf([user(text)], { actions, variables: { user_message: text }, ...(rails && { rails }) }),
      )
    const block = await run('check words', 'a war')
    assert.deepEqual(
      [block.decision, block.message, block.botIntent],
      ['block', 'No war here.', 'inform blocked'],
    )
    assert.equal((await run('check words', 'peace')).decision, 'allow')
    assert.deepEqual(await run('shout', 'peace'), { decision: 'transform', text: 'PEACE' })
    const other = await run('checked', 'peace', { 'self check input': { decision: 'block', message: 'no' } })
    assert.equal(other.message, 'no')
    const through = await run('checked', 'a war', { 'self check input': { decision: 'allow' } })
    assert.equal(through.message, 'No war here.')
    assert.deepEqual((await run('excepting', 'x')).metadata, {
      exception: { type: 'InputRailException', message: 'not this' },
    })
    assert.deepEqual(engine.calls, [{ name: 'self check input', file: 'rails.co', line: 13 }])
    assert.deepEqual(engine.actions, [{ name: 'find_words', file: 'rails.co', line: 5 }])
  })
})

describe('what is refused', () => {
  const faults: [string, number, RegExp][] = [
    ['define flow a\n  user x\n  any user\n', 3, /"any" is not supported/],
    ['define flow a\n  user x\n  if $a ==\n    bot b\n', 3, /expected a value at the end/],
    ['define flow a\n  user x\n  if $a\n  bot b\n', 3, /nothing is indented below/],
    ['define flow a\n  break\n', 2, /outside of a while/],
    ['define flow a\n  goto b\n', 2, /no label b/],
    ['define flow a\n  user x\n  else\n    bot b\n', 3, /without an "if"/],
    ['define user a\n  hello\n', 2, /expected a quoted text/],
    ['define user a\n  "hello\n', 2, /no closing/],
    ['flow main\n  activate x\n', 1, /Colang 2.x/],
    ['define flow a\n  execute x(1)\n', 2, /arguments are named/],
    ['define flow a\n  $x = __import__("os")\n', 2, /no function __import__/],
    ['define flow a\n  $x = $y.format()\n', 2, /no method format/],
    ['define flow a\n  bot x\ndefine flow a\n  bot y\n', 3, /defined twice/],
  ]
  for (const [text, line, reason] of faults) {
    it(`names the line of ${JSON.stringify(text.split('\n')[line - 1]?.trim())}`, () => {
      assert.throws(
        () => compile(text),
        (error: unknown) => {
          assert.ok(error instanceof ConfigProblems)
          const [problem] = error.problems
          assert.deepEqual([problem?.file, problem?.line], ['rails.co', line])
          assert.match(problem?.message ?? '', reason)
          return true
        },
      )
    })
  }

  it('lists the faults of several blocks at once', () => {
    assert.throws(
      () => compile('define flow a\n  any user\ndefine flow b\n  break\n'),
      (error: unknown) => error instanceof ConfigProblems && error.problems.length === 2,
    )
  })
})

describe('expressions', () => {
  const variables = { a: 3, s: 'Hello', list: [1, 2, 3], o: { k: { n: 5 } }, none: null }
  const cases: [string, unknown][] = [
    ['1 + 2 * 3 - 4 / 2', 5],
    ['2 ** 3 ** 2', 512],
    ['-7 // 2', -4],
    ['-7 % 3', 2],
    ['1 < $a <= 3', true],
    ['$a == 1 or $a == 3', true],
    ['$a == 3 and $s == "x"', false],
    ['$a < 2 or $a + 1 > 3 and $a != 9', true],
    ['$a - 1 == 2 == True', false],
    ['not $missing and $a == 3', true],
    ['$missing or "else"', 'else'],
    ['"ell" in $s and 4 not in $list', true],
    ['$o.k.n + $list[-1]', 8],
    ['$s.lower().replace("l", "L")', 'heLLo'],
    ['len($list) if $a > 2 else 0', 3],
    ['{"a": [1, (2)], "b": None}', { a: [1, 2], b: null }],
    ['$none is None', true],
    ['True == 1', true],
  ]
  for (const [source, value] of cases) {
    it(source, () => assert.deepEqual(evaluate(parseExpression(source), variables), value))
  }

  it('has no way out of its values', () => {
    for (const source of ['$o.constructor', '$o.__proto__', '$o["__proto__"]']) {
      assert.equal(evaluate(parseExpression(source), variables), null)
    }
    assert.throws(() => evaluate(parseExpression('9 ** 999'), {}), /power/)
    assert.throws(() => parseExpression('('.repeat(100)), /deeply/)
  })
})

describe('answers of models', () => {
  it('are read with the labels and quotes that models put around them', () => {
    assert.equal(readUserIntent('\n User intent: express greeting\nBot intent: x'), 'express greeting')
    assert.equal(readUserIntent('user ask name'), 'ask name')
    assert.equal(readUserIntent('  '), 'unknown message')
    assert.equal(readBotIntent('bot say hi\n  "Hi"'), 'say hi')
    assert.equal(readBotIntent('Bot intent: say hi "Hi"'), 'say hi')
    assert.equal(readBotIntent('whatever'), 'general response')
    assert.equal(readBotMessage('Bot message: "Hi\nthere"'), 'Hi\nthere')
    assert.deepEqual(readValue('$x = [1, "two"]', 'x'), [1, 'two'])
    assert.equal(readValue('a sentence', 'x'), 'a sentence')
  })
})
