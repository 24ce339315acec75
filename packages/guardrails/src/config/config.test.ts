// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { compileConfig, compileFiles, createServices } from '../index.ts'
import { readConfigFiles } from './files.ts'
import { createKnowledge } from './knowledge.ts'
import { mergeData } from './merge.ts'

const services = createServices({ nimUrl: 'http://nim/v1', env: { MY_API_KEY: 'k', OPENAI_API_KEY: 'o' } })
after(() => services.regex.close())

const refused = (files: Record<string, string>) => {
  try {
    compileFiles(files, services)
  } catch (err) {
    return err instanceof Error ? err.message : String(err)
  }
  return 'accepted'
}

test('everything wrong is named with its file and line', () => {
  const config = `models:
  - type: main
    engine: vertexai
rails:
  input:
    flows:
      - self chek input
      - self check input
  output:
    flows:
      - regex check input
  retrieval:
    flows: [regex check retrieval]
  config:
    regex_detection:
      retrieval:
        patterns: ["ok", "(broken"]
`
  const said = refused({
    'config.yml': config,
    'prompts.yml': 'prompts:\n  - task: x\n    content: "{% if %}"\n',
  })
  for (const part of [
    /config\.yml:3: .*vertexai/,
    /config\.yml:7: .*self chek input/,
    /config\.yml:8: .*needs a prompt/,
    /config\.yml:11: .*not of output/,
    /config\.yml:13: .*\(broken/,
    /prompts\.yml:2: /,
  ])
    assert.match(said, part)
})

test('what cannot be run here is refused', () => {
  assert.match(
    refused({ 'config.yml': 'models: []', 'actions.py': 'import os' }),
    /actions\.py:1: Python is not run/,
  )
  assert.equal(refused({ 'config.yml': 'models: []', 'config.py': '# nothing\n' }), 'accepted')
  assert.match(refused({ 'config.yml': 'models: [' }), /config\.yml:1: not YAML/)
  assert.match(refused({ 'config.yml': '- a' }), /must be a mapping/)
  assert.match(refused({ 'config.yml': 'models: {a: 1}' }), /config\.yml:1: models/)
  assert.match(refused({ 'config.yml': 'import_paths: [x]' }), /import_paths is not supported/)
  const bomb = `a: &a [x]\n${Array.from(
    { length: 12 },
    (_, i) =>
      `b${i}: &b${i} [${
        i
          ? Array(20)
              .fill(`*b${i - 1}`)
              .join(',')
          : '*a'
      }]`,
  ).join('\n')}`
  assert.match(refused({ 'config.yml': bomb }), /not usable YAML/)
})

test('files are merged in the order of their names; models and prompts by what they are for', () => {
  const { data } = readConfigFiles({
    'a.yml':
      'models: [{type: main, engine: nim}]\nrails: {input: {flows: [x]}}\nprompts: [{task: t, content: a}]',
    'b.yml': 'rails: {input: {flows: [x, y]}}\nprompts: [{task: t, content: b}]\npassthrough: true',
  })
  assert.deepEqual(data, {
    models: [{ type: 'main', engine: 'nim' }],
    rails: { input: { flows: ['x', 'y'] } },
    prompts: [{ task: 't', content: 'b' }],
    passthrough: true,
  })
  assert.deepEqual(mergeData({ a: { b: 1 } }, { a: { c: null, d: 2 } }), { a: { b: 1, d: 2 } })
})

test('models: the NIM, known engines, any with a base_url, and keys by name only', () => {
  const models = (list: object[]) => compileConfig({ data: { models: list } }, services).models
  assert.equal(models([{ type: 'main', engine: 'nim', model: 'm' }]).get('main')?.url, 'http://nim/v1')
  const openai = models([{ type: 'main', engine: 'openai', model: 'm' }]).get('main')
  assert.deepEqual([openai?.url, openai?.key], ['https://api.openai.com/v1', 'o'])
  const parameters = { base_url: 'http://x/v1/', temperature: 0.1, default_headers: {} }
  const own = models([{ type: 'j', engine: 'vllm_openai', api_key_env_var: 'MY_API_KEY', parameters }]).get(
    'j',
  )
  assert.deepEqual([own?.url, own?.key, own?.parameters], ['http://x/v1', 'k', { temperature: 0.1 }])
  // the key of the usual engine does not go to another server
  assert.equal(models([{ type: 'j', engine: 'openai', parameters }]).get('j')?.key, undefined)
})

test('knowledge: the chunk whose words are asked for comes first', () => {
  const retrieve = createKnowledge([
    { name: 'kb/a.md', text: '# One\napples and pears\n# Two\nships and boats' },
  ])
  assert.match(retrieve('which ships?'), /^Two\nships/)
  assert.equal(retrieve('zebra'), '')
})
