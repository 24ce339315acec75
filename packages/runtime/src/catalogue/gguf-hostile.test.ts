// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createRandom, damaged } from '../testing/hostile.ts'
import { GgufError, readGgufInfo, readGgufLayout } from './gguf.ts'

let dir = ''
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-gguf-'))
})
after(() => rm(dir, { recursive: true, force: true }))

const uint32 = (value: number) => {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(value)
  return out
}
const uint64 = (value: number | bigint) => {
  const out = Buffer.alloc(8)
  out.writeBigUInt64LE(BigInt(value))
  return out
}
const text = (value: string) => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)])
const file = (pairs: Buffer[][], tensors: Buffer[][] = []) =>
  Buffer.concat([
    Buffer.from('GGUF'),
    uint32(3),
    uint64(tensors.length),
    uint64(pairs.length),
    ...pairs.flat(),
    ...tensors.flat(),
  ])

const GOOD = file(
  [
    [text('general.architecture'), uint32(8), text('llama')],
    [text('general.alignment'), uint32(4), uint32(32)],
    [text('llama.context_length'), uint32(4), uint32(512)],
    [text('tokenizer.ggml.tokens'), uint32(9), uint32(8), uint64(2), text('a'), text('b')],
    [text('tokenizer.ggml.scores'), uint32(9), uint32(6), uint64(2), uint32(0), uint32(0)],
  ],
  [[text('token_embd.weight'), uint32(2), uint64(4), uint64(8), uint32(0), uint64(0)]],
)

/** Reads a file both ways: what comes is sound, or a GgufError. */
async function look(bytes: Buffer): Promise<boolean> {
  const path = join(dir, 'x.gguf')
  await writeFile(path, bytes)
  let isRefused = false
  for (const read of [readGgufInfo, readGgufLayout]) {
    const found = await read(path).catch((err: unknown) => {
      assert.ok(err instanceof GgufError, String(err instanceof Error ? err.stack : err))
      isRefused = true
    })
    if (found && 'numParameters' in found) {
      assert.ok(Number.isSafeInteger(found.numParameters), `${found.numParameters} parameters`)
      assert.ok(Number.isSafeInteger(found.contextSize), `a context of ${found.contextSize}`)
    } else if (found) {
      assert.ok(Number.isSafeInteger(found.dataAt), `data at ${found.dataAt}`)
      for (const tensor of found.tensors) assert.ok(Number.isSafeInteger(tensor.offset))
    }
  }
  return isRefused
}

test('damaged headers are refused or read, never more', async () => {
  assert.equal(await look(GOOD), false)
  const random = createRandom(7)
  let refused = 0
  for (let i = 0; i < 300; i++) if (await look(damaged(GOOD, random))) refused++
  assert.ok(refused > 100, `only ${refused} were refused`)
})

test('arrays in arrays, and lists of millions that are not there, end soon', async () => {
  const nested = Array.from({ length: 200_000 }, () => Buffer.concat([uint32(9), uint64(1)]))
  const begun = performance.now()
  assert.ok(await look(file([[text('x'), uint32(9), ...nested]])))
  assert.ok(await look(file([[text('x'), uint32(9), uint32(4), uint64(9_000_000)]])))
  assert.ok(await look(file([[text('x'), uint32(8), uint64(60_000_000)]])))
  assert.ok(performance.now() - begun < 20_000)
})

test('numbers that are none, and sizes beyond all files', async () => {
  const architecture = [text('general.architecture'), uint32(8), text('llama')]
  const length = (value: Buffer[]) => file([architecture, [text('llama.context_length'), ...value]])
  await look(length([uint32(8), text('many')]))
  await look(length([uint32(6), Buffer.from([0, 0, 0xc0, 0x7f])]))
  await look(length([uint32(10), uint64(2n ** 64n - 1n)]))
  const tensor = [text('t'), uint32(2), uint64(2n ** 62n), uint64(2n ** 62n), uint32(0), uint64(2n ** 63n)]
  await look(file([architecture], [tensor]))
})
