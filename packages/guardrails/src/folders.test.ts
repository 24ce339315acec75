// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { type Script, said, startTestService } from './testing.ts'

/** Folders in the shapes that users of the toolkit keep theirs. */
const FOLDERS: Record<string, Record<string, string>> = {
  // rails with prompts in a file of their own, instructions and a knowledge base
  company: {
    'config.yml':
      'models:\n  - {type: main, engine: nim, model: m}\ninstructions:\n  - {type: general, content: "You help with leave."}\n' +
      'sample_conversation: |\n  user "Hi"\n    express greeting\nrails:\n  input: {flows: [self check input]}\n  output: {flows: [self check output]}\n',
    'prompts.yml':
      'prompts:\n  - {task: self_check_input, content: "IN {{ user_input }}"}\n  - {task: self_check_output, content: "OUT {{ bot_response }}"}\n',
    'kb/leave.md': '# Leave\nEverybody has thirty days of leave.\n',
  },
  // a dialog in several Colang files, a comment in Python
  hello: {
    'config.yml':
      'models:\n  - {type: main, engine: openai, model: m, parameters: {base_url: "http://main/v1"}}\n',
    'config.py': '# nothing yet\n',
    'rails/greeting.co':
      'define user express greeting\n  "hello"\n\ndefine bot express greeting\n  "Hello there!"\n\ndefine flow greeting\n  user express greeting\n  bot express greeting\n  bot ask how are you\n',
    'rails/mood.co': 'define bot ask how are you\n  "How are you?"\n',
  },
  // Colang 2.x: the guardrail flows are rails without being listed
  two: {
    'config.yml': 'colang_version: "2.x"\nmodels:\n  - {type: main, engine: nim, model: m}\n',
    'prompts.yml': 'prompts:\n  - {task: self_check_output, content: "OUT {{ bot_response }}"}\n',
    'main.co': 'import core\nimport guardrails\nimport llm\n\nflow main\n  activate llm continuation\n',
    'rails.co':
      'import guardrails\nimport nemoguardrails.library.self_check.output_check\n\n' +
      'flow input rails $input_text\n  if "rude" in $input_text\n    bot say "Please be kind."\n    abort\n\n' +
      'flow output rails $output_text\n  self check output\n',
  },
  // mistakes, each with its place
  broken: {
    'config.yml': 'models: []\nrails:\n  input: {flows: [check it]}\n',
    'rails/check.co':
      'define subflow check it\n  do check words\n\ndefine subflow check other\n  do self check input\n',
  },
}

const script: Script = (call) => {
  const text = said(call)
  if (/^(IN|OUT) /.test(text)) return text.includes('bad') ? 'Yes' : 'No'
  if (call.url.startsWith('http://main')) return 'express greeting'
  return text.includes('poison') ? 'a bad answer' : `told: ${text}`
}

const dir = await mkdtemp(join(tmpdir(), 'nemo-guardrails-'))
for (const [name, files] of Object.entries(FOLDERS)) {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name, path)), { recursive: true })
    await writeFile(join(dir, name, path), text)
  }
}
const t = await startTestService(script, { CONFIG_STORE_PATH: dir })
after(async () => {
  await t.stop()
  await rm(dir, { recursive: true, force: true })
})

const ask = async (config_id: string, content: string) => {
  const body = { model: 'm', messages: [{ role: 'user', content }], guardrails: { config_id } }
  const answer = await t.call('POST', '/chat/completions', body)
  return answer.body.choices?.[0]?.message.content ?? answer.raw
}

test('rails, instructions and a knowledge base', async () => {
  assert.equal(await ask('company', 'a bad one'), "I'm sorry, I can't respond to that.")
  const told = await ask('company', 'how many days of leave?')
  assert.match(told, /^told: You help with leave\.[\s\S]*Everybody has thirty days of leave/)
})

test('a dialog in several files', async () => {
  assert.equal(await ask('hello', 'good day'), 'Hello there!\nHow are you?')
})

test('Colang 2.x: input rails and output rails run by their names alone', async () => {
  assert.equal(await ask('two', 'a rude word'), 'Please be kind.')
  assert.equal(await ask('two', 'poison'), "I'm sorry, I can't respond to that.")
  assert.equal(await ask('two', 'a kind word'), 'told: a kind word')
  const messages = [{ role: 'user', content: 'a rude word' }]
  const checked = await t.call('POST', '/checks', { model: 'm', messages, guardrails: { config_id: 'two' } })
  assert.equal(checked.body.status, 'blocked')
})

test('flows that nobody defines are refused with their file and line', async () => {
  const told = await ask('broken', 'x')
  assert.match(told, /rails\/check\.co:2: [^;]*check words/)
  assert.match(told, /rails\/check\.co:5: [^;]*needs a prompt/)
  const data = { colang_content: 'define flow a\n  user ...\n  do missing flow\n' }
  const created = await t.call('POST', '/configs', { name: 'x', namespace: 'n', data })
  assert.equal(created.status, 422)
  assert.match(created.raw, /colang_content:3: /)
})
