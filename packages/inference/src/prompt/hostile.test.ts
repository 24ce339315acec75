// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom, damaged } from '@open-nemo/runtime/testing/hostile.ts'
import { ChatTemplateError, compileChatTemplate } from './chat-template.ts'

const GOOD = `{%- for message in messages %}{% if message.role == 'system' %}<s>{{ message['content'] | trim }}
{%- elif message.tool_calls %}{{ message.tool_calls | tojson }}{% else %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}
{%- endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`
const INPUT = {
  messages: [
    { role: 'system', content: ' x ' },
    { role: 'user', content: [{ type: 'text', text: '{{ 7 * 7 }}{% for %}' }] },
    { role: 'assistant', content: null, tool_calls: [{ id: 'a' }] },
    { role: '__proto__', content: '\u0000\ud800' },
  ],
  add_generation_prompt: true,
}

/** Renders; anything but a text or a ChatTemplateError fails. */
function isRefused(source: string): boolean {
  try {
    assert.equal(typeof compileChatTemplate(source).render(INPUT), 'string')
    return false
  } catch (err) {
    if (err instanceof ChatTemplateError) return true
    throw err
  }
}

test('damaged templates are refused or rendered, never more', () => {
  const random = createRandom(5)
  let refused = 0
  for (let i = 0; i < 300; i++) if (isRefused(damaged(Buffer.from(GOOD), random).toString())) refused++
  assert.ok(refused > 100, `only ${refused} were refused`)
})

test('templates reach for nothing outside of them, and end', () => {
  const reaching = [
    '{{ constructor }}',
    "{{ messages.constructor('return process')() }}",
    "{{ ''.constructor.constructor('return process')().env }}",
    '{{ messages.__proto__ }}{{ messages[0].__proto__.polluted }}',
    '{{ process.env }}{{ globalThis }}{{ require("fs") }}',
  ]
  for (const source of reaching) {
    const text = isRefused(source) ? '' : compileChatTemplate(source).render(INPUT)
    assert.doesNotMatch(text, /native code|function|PATH|object Object/, source)
  }
  assert.ok(isRefused('{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}'))
  assert.ok(isRefused('{{ "x" * 100000000 }}{{ range(100000000) }}'))
})
