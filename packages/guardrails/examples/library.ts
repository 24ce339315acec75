// SPDX-License-Identifier: Apache-2.0
// The engine as a library: rails and a dialog around any OpenAI-compatible server, without the service.
// node packages/guardrails/examples/library.ts http://localhost:8000/v1 meta/llama "hello"
import { compileFiles, createServices, respond, startStream } from '@open-nemo/guardrails'

const FILES = {
  'config.yml': `models: []
rails:
  input: {flows: [check words]}
  output:
    flows: [mask sensitive data on output]
    streaming: {enabled: true, chunk_size: 20, context_size: 5}
  config:
    sensitive_data_detection: {output: {entities: [EMAIL_ADDRESS]}}
`,
  'rails.co': `define bot refuse to respond
  "Let us stay with the shop."

define subflow check words
  if "rival" in $user_message
    bot refuse to respond
    stop
`,
}

const [nimUrl = 'http://localhost:8000/v1', model = 'meta/llama', content = 'hello'] = process.argv.slice(2)
const services = createServices({ nimUrl })
try {
  // Throws ConfigProblems, each with its file and line, for what cannot be run.
  const config = compileFiles(FILES, services)
  const request = { config, model, messages: [{ role: 'user', content }] }
  const { text, block } = await respond(request, services)
  console.log(block ? `blocked by ${block.rail}: ${text}` : `answered: ${text}`)

  const { events } = await startStream(request, services)
  let streamed = ''
  for await (const event of events) {
    if (event.type === 'answer') streamed += event.text
    if (event.type === 'stopped') streamed += ` [stopped by ${event.block.rail}]`
    const [choice] = event.type === 'chunk' ? (event.chunk.choices as { delta?: { content?: string } }[]) : []
    streamed += choice?.delta?.content ?? ''
  }
  console.log(`streamed: ${streamed}`)
} finally {
  await services.regex.close()
}
