// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigProblems, type DialogTurn, type RailResult } from '../engine/types.ts'
import { compileDialog } from './index.ts'

const data = { colang_version: '2.x' } as Parameters<typeof compileDialog>[1]
const compile = (text: string) => compileDialog([{ file: 'rails.co', text }], data)

const RAILS = `
import core
import guardrails
import nemoguardrails.library.self_check.input_check

flow main
  activate llm continuation

flow input rails $input_text
  self check input $input_text
  $input_safe = await check user utterance $input_text
  if not $input_safe
    bot say "Not about {$input_text}."
    abort

flow check user utterance $input_text -> $input_safe
  $found = await FindWordsAction(text=$input_text, words=["war"])
  return $found == 0

flow output rails $output_text
  $ok = ..."Is '{$output_text}' polite? True or False"
  if not $ok
    bot refuse to respond
    abort
`

function turnOf(variables: Record<string, unknown>, rail: RailResult, value = 'True'): DialogTurn {
  return {
    messages: [],
    variables,
    signal: new AbortController().signal,
    ask: async ({ messages }) => (JSON.stringify(messages).includes("'rude'") ? 'False' : value),
    answer: async () => '',
    execute: async (name, { text, words }) => {
      assert.equal(name, 'find_words')
      return (words as string[]).filter((word) => String(text).includes(word)).length
    },
    embed: async () => [],
    runRail: (name) => (name === 'self check input' ? Promise.resolve(rail) : undefined),
    decide: () => undefined,
  }
}

describe('the guardrail flows of Colang 2.x', () => {
  it('block, allow, and end with what another rail decided', async () => {
    const engine = compile(RAILS)
    assert.deepEqual([...engine.flows], ['input rails', 'check user utterance', 'output rails'])
    const input = (text: string, rail: RailResult = { decision: 'allow' }) =>
      engine.runRail('input rails', 'input', turnOf({ user_message: text }, rail))
    assert.equal((await input('peace')).decision, 'allow')
    assert.equal((await input('war')).message, 'Not about war.')
    assert.equal((await input('peace', { decision: 'block', message: 'checked' })).message, 'checked')
    const output = (text: string) =>
      engine.runRail('output rails', 'output', turnOf({ bot_message: text }, { decision: 'allow' }))
    assert.equal((await output('kind')).decision, 'allow')
    assert.equal((await output('rude')).message, "I'm sorry, I can't respond to that.")
  })

  it('names the line of what does not run here', () => {
    const faults: [string, number][] = [
      ['flow main\n  activate greeting\n', 2],
      ['flow greeting\n  user said "hi"\n', 2],
      ['flow input rails $t\n  match X()\n', 2],
      ['import unknown.lib\n', 1],
      ['flow input rails $t\n  if $t\n', 2],
    ]
    for (const [text, line] of faults) {
      assert.throws(
        () => compile(text),
        (error: unknown) => error instanceof ConfigProblems && error.problems[0]?.line === line,
        text,
      )
    }
  })
})
