// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createRandom, damaged } from '@open-nemo/runtime/testing/hostile.ts'
import { AdapterFormatError, convertAdapter } from './convert.ts'
import { SafetensorsError } from './safetensors.ts'

const fixture = (name: string) => fileURLToPath(new URL(`fixture/${name}`, import.meta.url))
const weights = new Uint8Array(readFileSync(fixture('adapter_model.safetensors')))
const config = readFileSync(fixture('adapter_config.json'), 'utf8')
const base = { architecture: 'llama', layers: 2, heads: 4, kvHeads: 2 }

/** Whether an adapter is refused; anything but a clear refusal or a GGUF file fails. */
function isRefused(configText: string, bytes: Uint8Array): boolean {
  try {
    const made = convertAdapter(configText, bytes, base)
    assert.equal(Buffer.from(made.subarray(0, 4)).toString(), 'GGUF')
    return false
  } catch (err) {
    if (err instanceof AdapterFormatError || err instanceof SafetensorsError) return true
    throw err
  }
}

/** A file with this header. */
function file(header: unknown, body = 64): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([size, text, Buffer.alloc(body)])
}

test('damaged adapters are refused or converted, never more', () => {
  const random = createRandom(11)
  const headerEnd = 8 + Number(new DataView(weights.buffer).getBigUint64(0, true))
  let refused = 0
  for (let i = 0; i < 600; i++) {
    // Mostly the header: what the weights are is the engine's business.
    const head = damaged(weights.subarray(0, headerEnd), random)
    const bytes = i % 3 === 0 ? damaged(weights, random) : Buffer.concat([head, weights.subarray(headerEnd)])
    if (isRefused(config, bytes)) refused++
  }
  assert.ok(refused > 300, `only ${refused} were refused`)
  for (let i = 0; i < 300; i++) isRefused(damaged(Buffer.from(config), random).toString(), weights)
})

test('headers that lie are refused with a reason', () => {
  const name = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
  const entry = (change: object) => ({
    [name]: { dtype: 'F32', shape: [4, 4], data_offsets: [0, 64], ...change },
  })
  const lies = [
    'null',
    '[]',
    '{"a":',
    '{"__proto__": {"dtype": "F32"}}',
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    entry({ shape: [-4, -4] }),
    entry({ shape: [4.5, 4] }),
    entry({ shape: [2 ** 40, 2 ** 40], data_offsets: [0, 2 ** 53] }),
    entry({ data_offsets: [64, 0] }),
    entry({ data_offsets: [2 ** 60, 2 ** 60 + 64] }),
    entry({ data_offsets: { 0: 0, 1: 64, length: 2 } }),
    entry({ dtype: '__proto__' }),
    entry({ dtype: null }),
    { [name]: null },
    { '../../../etc/passwd': { dtype: 'F32', shape: [4, 4], data_offsets: [0, 64] } },
  ]
  for (const lie of lies) assert.ok(isRefused(config, file(lie)), JSON.stringify(lie).slice(0, 100))
  const huge = Buffer.alloc(16)
  huge.writeBigUInt64LE(2n ** 64n - 1n)
  assert.ok(isRefused(config, huge))
})
