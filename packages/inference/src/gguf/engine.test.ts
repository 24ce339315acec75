// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { silentLogger } from '@open-nemo/runtime'
import { startEngine } from '../engine/supervisor.ts'
import type { GenerateRequest } from '../engine/types.ts'
import { writeInThread } from './in-thread.ts'

const fixture = (name: string) => fileURLToPath(new URL(`fixture/${name}`, import.meta.url))

const REQUEST: GenerateRequest = {
  prompt: { text: 'one two' },
  maxTokens: 4,
  temperature: 0,
  topP: 1,
  topK: 1,
  minP: 0,
  seed: 1,
  repeatable: true,
  stop: [],
  frequencyPenalty: 0,
  presencePenalty: 0,
  ignoreEos: true,
}

async function firstWords(modelPath: string): Promise<string> {
  const engine = startEngine({
    log: silentLogger(),
    locate: async () => ({
      modelPath,
      threads: 1,
      contextSize: 64,
      sequences: 1,
      adapterContextSize: 64,
      adapterSequences: 1,
      maxAdapters: 1,
      maxQueue: 4,
    }),
  })
  try {
    await engine.ready(60_000)
    let text = ''
    for await (const event of engine.generate(REQUEST, AbortSignal.timeout(30_000))) {
      if (event.type === 'text') text += event.text
    }
    return text
  } finally {
    await engine.stop()
  }
}

test('the engine answers from a converted file as from the one of llama.cpp, and not as from the base', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'whole-'))
  try {
    const [base, weights, to] = [fixture('tied-base.gguf'), fixture('tied.safetensors'), join(dir, 'm.gguf')]
    await writeInThread({ base, weights, to, type: 'q8_0' })
    const said = await firstWords(to)
    assert.notEqual(said, '')
    assert.equal(said, await firstWords(fixture('tied-q8_0.gguf')))
    assert.notEqual(said, await firstWords(base))
  } finally {
    await rm(dir, { recursive: true })
  }
})
