// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readGgufFileInfo } from 'node-llama-cpp'
import { convertAdapter } from './convert.ts'
import { readSafetensors, toFloat32 } from './safetensors.ts'

const fixture = (name: string) => fileURLToPath(new URL(`fixture/${name}`, import.meta.url))
const weights = new Uint8Array(readFileSync(fixture('adapter_model.safetensors')))
const config = readFileSync(fixture('adapter_config.json'), 'utf8')
const base = { architecture: 'llama', layers: 2, heads: 4, kvHeads: 2 }

async function tensorsOf(path: string) {
  const bytes = readFileSync(path)
  const info = await readGgufFileInfo(path, { sourceType: 'filesystem' })
  const tensors = info.fullTensorInfo ?? []
  const entries = tensors.map((t) => {
    const size = t.dimensions.reduce<number>((a, b) => a * Number(b), 4)
    const at = Number(t.fileOffset)
    return [
      t.name,
      {
        shape: t.dimensions.map(Number),
        type: t.ggmlType,
        data: bytes.subarray(at, at + size).toString('hex'),
      },
    ] as const
  })
  return { metadata: info.metadata as Record<string, unknown>, tensors: Object.fromEntries(entries) }
}

/** A safetensors file with this header and `size` bytes after it. */
function file(header: unknown, size = 0): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.byteLength))
  return new Uint8Array(Buffer.concat([length, text, Buffer.alloc(size)]))
}

test("every tensor has the bytes of llama.cpp's own converter", async () => {
  const dir = await mkdtemp(join(tmpdir(), 'lora-'))
  try {
    const path = join(dir, 'adapter.gguf')
    await writeFile(path, convertAdapter(config, weights, base))
    const [ours, oracle] = [await tensorsOf(path), await tensorsOf(fixture('oracle.gguf'))]
    assert.equal(Object.keys(oracle.tensors).length, 28)
    assert.deepEqual(ours.tensors, oracle.tensors)
    assert.deepEqual({ ...(ours.metadata.general as object) }, { architecture: 'llama', type: 'adapter' })
    assert.deepEqual(ours.metadata.adapter, oracle.metadata.adapter)
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('rank-stabilised adapters keep their scale', () => {
  const text = JSON.stringify({ ...JSON.parse(config), use_rslora: true })
  const bytes = Buffer.from(convertAdapter(text, weights, base))
  const at = bytes.indexOf('adapter.lora.alpha') + 'adapter.lora.alpha'.length + 4
  assert.equal(bytes.readFloatLE(at), Math.fround(8 * Math.sqrt(2)))
})

test('adapters that cannot be served are refused with the reason', () => {
  const change = (patch: object) => JSON.stringify({ ...JSON.parse(config), ...patch })
  const cases: [config: string, weights: Uint8Array, base: typeof base, reason: RegExp][] = [
    ['{', weights, base, /not JSON/],
    [change({ peft_type: 'IA3' }), weights, base, /only LoRA/],
    [change({ use_dora: true, bias: 'all' }), weights, base, /use_dora, bias all/],
    [change({ r: 3 }), weights, base, /rank 3/],
    [config, weights, { ...base, layers: 1 }, /beyond the 1 layers/],
    [config, weights, { ...base, kvHeads: 3 }, /do not divide into 3 heads/],
    [config, weights, { ...base, architecture: 'gemma' }, /gemma/],
    [config, file({}), base, /no LoRA tensors/],
    [
      config,
      file({ 'base_model.model.lm_head.lora_A.weight': { dtype: 'F32', shape: [0], data_offsets: [0, 0] } }),
      base,
      /lm_head/,
    ],
  ]
  for (const [text, bytes, shape, reason] of cases) {
    assert.throws(() => convertAdapter(text, bytes, shape), { message: reason, name: 'AdapterFormatError' })
  }
})

test('values that are not numbers are refused', () => {
  const tensors = readSafetensors(weights)
  const [first] = tensors.values()
  assert.ok(first)
  const broken = new Uint8Array(weights)
  broken.fill(
    0xff,
    first.data.byteOffset - weights.byteOffset,
    first.data.byteOffset - weights.byteOffset + 4,
  )
  assert.throws(() => convertAdapter(config, broken, base), /not numbers/)
})

test('hostile safetensors files are refused', () => {
  const tensor = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(3), /shorter/],
    [new Uint8Array(8).fill(0xff), /header says/],
    [file('[]'), /not an object/],
    [file('{"a":'), /not JSON/],
    [file({ a: null }), /type undefined/],
    [file({ a: { ...tensor, dtype: 'I64' } }), /type I64/],
    [file({ a: { ...tensor, shape: [-1] } }, 8), /shape/],
    [file({ a: { ...tensor, shape: [2 ** 40, 2 ** 40] } }, 8), /needs/],
    [file({ a: { ...tensor, data_offsets: [8, 0] } }, 8), /do not give/],
    [file({ a: { ...tensor, data_offsets: [4, 12] } }, 8), /do not give/],
    [file({ a: { ...tensor, data_offsets: [0] } }, 8), /offsets/],
  ]
  for (const [bytes, reason] of cases) {
    assert.throws(() => readSafetensors(bytes), { name: 'SafetensorsError', message: reason })
  }
})

test('half precision is read exactly', () => {
  const bits = [0x0000, 0x0001, 0x3c00, 0xc000, 0x7bff, 0x0400]
  const data = new Uint8Array(new Uint16Array(bits).buffer)
  const shape = [bits.length]
  assert.deepEqual([...toFloat32({ dtype: 'F16', shape, data })], [0, 2 ** -24, 1, -2, 65504, 2 ** -14])
  const bf16 = new Uint8Array(new Uint16Array([0x3f80, 0xc000]).buffer)
  assert.deepEqual([...toFloat32({ dtype: 'BF16', shape: [2], data: bf16 })], [1, -2])
})
