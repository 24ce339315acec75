// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readGgufLayout } from '@open-nemo/runtime/catalogue/gguf.ts'
import { readGgufFileInfo } from 'node-llama-cpp'
import { encode, sizeOf } from './quantize.ts'
import { writeWholeGguf } from './whole.ts'

// A tiny Llama tuned from another, and what llama.cpp's convert_hf_to_gguf.py makes of both.
const fixture = (name: string) => fileURLToPath(new URL(`fixture/${name}`, import.meta.url))
let dir: string
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whole-'))
})
after(() => rm(dir, { recursive: true }))

async function tensorsOf(path: string) {
  const [bytes, { tensors, dataAt }] = await Promise.all([readFile(path), readGgufLayout(path)])
  const entries = tensors.map(({ name, shape, type, offset }) => {
    const count = shape.reduce((a, b) => a * b, 1)
    const size = sizeOf(type === 0 ? 'f32' : type === 1 ? 'f16' : 'q8_0', count)
    return [
      name,
      { shape, type, data: bytes.subarray(dataAt + offset, dataAt + offset + size).toString('hex') },
    ] as const
  })
  return Object.fromEntries(entries)
}

for (const kind of ['tied', 'untied']) {
  for (const type of ['f16', 'q8_0'] as const) {
    test(`every tensor of a model (${kind}) in ${type} has the bytes of llama.cpp's own converter`, async () => {
      const to = join(dir, `${kind}-${type}.gguf`)
      const weights = fixture(`${kind}.safetensors`)
      await writeWholeGguf({ base: fixture(`${kind}-base.gguf`), weights, to, type })
      const [ours, oracle] = [await tensorsOf(to), await tensorsOf(fixture(`${kind}-${type}.gguf`))]
      assert.equal(Object.keys(oracle).length, kind === 'tied' ? 11 : 12)
      assert.deepEqual(ours, oracle)
      const about = async (path: string) => (await readGgufFileInfo(path)).metadata as Record<string, unknown>
      const [made, wanted] = [await about(to), await about(fixture(`${kind}-${type}.gguf`))]
      assert.deepEqual(made.llama, wanted.llama)
      assert.deepEqual(made.tokenizer, wanted.tokenizer)
      assert.equal(
        (made.general as { file_type: number }).file_type,
        (wanted.general as { file_type: number }).file_type,
      )
    })
  }
}

test('an output layer of its own on a tied base, and other misfits, are refused with the reason', async () => {
  const to = join(dir, 'refused.gguf')
  const convert = async (base: string, weights: string) => {
    await rm(to, { force: true })
    await writeWholeGguf({ base, weights, to, type: 'q8_0' })
  }
  const base = fixture('tied-base.gguf')
  const bytes = await readFile(fixture('tied.safetensors'))
  const length = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
  const changed = async (change: (h: typeof header) => void, body = bytes.subarray(8 + length)) => {
    const copy = structuredClone(header)
    change(copy)
    const text = Buffer.from(JSON.stringify(copy))
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(text.length))
    const path = join(dir, 'changed.safetensors')
    await writeFile(path, Buffer.concat([size, text, body]))
    return path
  }
  const norm = 'model.norm.weight'
  const cases: [() => Promise<string>, RegExp][] = [
    [() => changed((h) => delete h[norm]), /it has no model\.norm\.weight/],
    [
      () =>
        changed((h) => {
          h.extra = h[norm]
        }),
      /it has extra, which its base model has not/,
    ],
    [
      () =>
        changed((h) => {
          h[norm].shape = [2, 16]
        }),
      /model\.norm\.weight has the shape \[2, 16\], and its base model \[32\]/,
    ],
    [
      () =>
        changed((h) => {
          h[norm].data_offsets = [0, 10 ** 9]
        }),
      /do not give them/,
    ],
    [() => changed(() => {}, Buffer.alloc(bytes.length - 8 - length, 0xff)), /values that are not numbers/],
    [async () => fixture('tied-base.gguf'), /header says/],
  ]
  for (const [make, message] of cases) await assert.rejects(convert(base, await make()), { message })
})

test('q8_0 keeps zeros, and rounds halves away from zero', () => {
  const values = new Float32Array(64)
  values.set([127, 0.5, -0.5, 1.5, -2.5], 32)
  const bytes = Buffer.from(encode(values, 'q8_0'))
  assert.equal(bytes.length, 68)
  assert.ok(bytes.subarray(0, 34).every((byte) => byte === 0))
  assert.deepEqual([...new Int8Array(bytes.subarray(36, 41))], [127, 1, -1, 2, -3])
})
