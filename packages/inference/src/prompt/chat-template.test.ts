// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { compileChatTemplate, type TemplateInput } from './chat-template.ts'

// The cases were rendered by jinja2, and the trainer's tests render them again.
const folder = new URL('../../../runtime/src/catalogue/templates/', import.meta.url)
const golden = new URL('golden/', folder)

for (const file of readdirSync(golden)) {
  const template = compileChatTemplate(readFileSync(new URL(file.replace('.json', '.jinja'), folder), 'utf8'))
  const cases = JSON.parse(readFileSync(new URL(file, golden), 'utf8')) as {
    name: string
    input: TemplateInput
    text: string
  }[]
  for (const { name, input, text } of cases) {
    test(`${file}: ${name}`, () => assert.equal(template.render(input), text))
  }
}

const reference = readFileSync(new URL('smollm2.jinja', folder), 'utf8')

test('without tools the text is that of the template inside the weights, less its default system message', () => {
  const own = compileChatTemplate(
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
  )
  const ours = compileChatTemplate(reference)
  const turns = [
    { role: 'user', content: 'a\n\n b' },
    { role: 'assistant', content: '' },
    { role: 'user', content: 'c' },
  ]
  for (const messages of [turns, [{ role: 'system', content: 's' }, ...turns]]) {
    const input = { messages, add_generation_prompt: true }
    assert.equal(ours.render(input), own.render(input))
  }
})

test('an unknown role is refused in words', () => {
  const template = compileChatTemplate(reference)
  assert.throws(
    () => template.render({ messages: [{ role: 'robot', content: 'x' }], add_generation_prompt: true }),
    { name: 'ChatTemplateError', message: /"robot".*use system/ },
  )
})

test('a broken template is refused when it is compiled', () => {
  assert.throws(() => compileChatTemplate('{% if x %}'), { name: 'ChatTemplateError' })
})
