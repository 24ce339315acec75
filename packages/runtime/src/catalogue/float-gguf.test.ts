// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { floatGgufSize, writeFloatGguf } from './float-gguf.ts'
import { readGgufLayout } from './gguf.ts'

let dir = ''
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'float-gguf-'))
})
after(() => rm(dir, { recursive: true, force: true }))

const u32 = (n: number) => Buffer.from(new Uint32Array([n]).buffer)
const u64 = (n: number) => Buffer.from(new BigUint64Array([BigInt(n)]).buffer)
const text = (s: string) => Buffer.concat([u64(s.length), Buffer.from(s)])
const padded = (b: Buffer) => Buffer.concat([b, Buffer.alloc((32 - (b.length % 32)) % 32)])
/** 0.5, 2 and -1 as half floats. */
const HALF = { half: 0x3800, two: 0x4000, minus: 0xbc00 }

function gguf(tensors: { name: string; type: number; values: number; data: Buffer }[]): Buffer {
  let offset = 0
  const list = tensors.map(({ name, type, values, data }) => {
    const entry = Buffer.concat([text(name), u32(1), u64(values), u32(type), u64(offset)])
    offset += padded(data).length
    return entry
  })
  const meta = Buffer.concat([text('general.architecture'), u32(8), text('llama')])
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(1), meta, ...list])
  return Buffer.concat([padded(head), ...tensors.map(({ data }) => padded(data))])
}

const halves = (...values: number[]) => Buffer.from(new Uint16Array(values).buffer)
/** Bytes whose low four bits are 0..15 and high ones 15..0. */
const quants = Buffer.from(Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4)))
const up = Array.from({ length: 16 }, (_, i) => i)
const both = [...up, ...up.toReversed()]

test('every block type becomes the floats that it stands for', async () => {
  const eight = Buffer.from(Int8Array.from({ length: 32 }, (_, i) => i - 16))
  const from = join(dir, 'quantised.gguf')
  await writeFile(
    from,
    gguf([
      { name: 'q4_1', type: 3, values: 32, data: Buffer.concat([halves(HALF.half, HALF.minus), quants]) },
      { name: 'q4_0', type: 2, values: 32, data: Buffer.concat([halves(HALF.two), quants]) },
      { name: 'q8_0', type: 8, values: 32, data: Buffer.concat([halves(HALF.half), eight]) },
      { name: 'f16', type: 1, values: 3, data: halves(HALF.half, HALF.two, HALF.minus) },
      { name: 'bf16', type: 30, values: 2, data: halves(0x3f80, 0xc000) },
      { name: 'f32', type: 0, values: 1, data: Buffer.from(new Float32Array([1 / 3]).buffer) },
    ]),
  )
  assert.equal(await floatGgufSize(from), 4 * (96 + 6))
  const to = join(dir, 'floats.gguf')
  await writeFloatGguf(from, to)
  const { tensors, dataAt } = await readGgufLayout(to)
  const file = await readFile(to)
  const values = tensors.map(({ shape, offset, type }) => {
    assert.equal(type, 0)
    return Array.from({ length: shape[0] ?? 0 }, (_, i) => file.readFloatLE(dataAt + offset + 4 * i))
  })
  assert.deepEqual(values, [
    both.map((q) => q / 2 - 1),
    both.map((q) => 2 * (q - 8)),
    Array.from({ length: 32 }, (_, i) => (i - 16) / 2),
    [0.5, 2, -1],
    [1, -2],
    [Math.fround(1 / 3)],
  ])
})

test('a type that is not known has no size, and a file that is cut off is an error', async () => {
  const from = join(dir, 'other.gguf')
  await writeFile(from, gguf([{ name: 'q6_k', type: 14, values: 256, data: Buffer.alloc(210) }]))
  assert.equal(await floatGgufSize(from), undefined)
  await assert.rejects(writeFloatGguf(from, join(dir, 'x.gguf')), /type 14 of q6_k/)
  const cut = join(dir, 'cut.gguf')
  await writeFile(cut, gguf([{ name: 'f32', type: 0, values: 64, data: Buffer.alloc(256) }]).subarray(0, -64))
  await assert.rejects(writeFloatGguf(cut, join(dir, 'y.gguf')), /cut off/)
})
