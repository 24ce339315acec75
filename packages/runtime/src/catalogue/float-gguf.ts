// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from 'node:fs/promises'
import { GgufError, type GgufLayout, type GgufTensorInfo, readGgufLayout } from './gguf.ts'

/** A type of GGML: values and bytes of one block, and how to write its values as floats. */
interface BlockType {
  values: number
  bytes: number
  decode(block: DataView, at: number, out: Float32Array, to: number): void
}

const HALVES = new Float32Array(65_536)
for (let i = 0; i < HALVES.length; i++) HALVES[i] = halfToFloat(i)
const half = (view: DataView, at: number) => HALVES[view.getUint16(at, true)] ?? 0

const F32 = 0
/** By GGML's number; others are not dequantised here. */
const TYPES: Record<number, BlockType> = {
  [F32]: { values: 1, bytes: 4, decode: (b, at, out, to) => set(out, to, b.getFloat32(at, true)) },
  1: { values: 1, bytes: 2, decode: (b, at, out, to) => set(out, to, half(b, at)) },
  // Q4_0: a scale and 32 values of four bits around 8; the low halves of the bytes come first.
  2: {
    values: 32,
    bytes: 18,
    decode: (b, at, out, to) => nibbles(b, at + 2, out, to, half(b, at), -8 * half(b, at)),
  },
  // Q4_1: a scale, a minimum and 32 values of four bits.
  3: {
    values: 32,
    bytes: 20,
    decode: (b, at, out, to) => nibbles(b, at + 4, out, to, half(b, at), half(b, at + 2)),
  },
  // Q8_0: a scale and 32 values of eight bits.
  8: {
    values: 32,
    bytes: 34,
    decode: (b, at, out, to) => {
      const scale = half(b, at)
      for (let i = 0; i < 32; i++) out[to + i] = scale * b.getInt8(at + 2 + i)
    },
  },
  // BF16: the upper half of a float.
  30: {
    values: 1,
    bytes: 2,
    decode: (b, at, out, to) => {
      word.setUint32(0, b.getUint16(at, true) << 16)
      set(out, to, word.getFloat32(0))
    },
  },
}
const word = new DataView(new ArrayBuffer(4))
const CHUNK_VALUES = 1 << 20

function set(out: Float32Array, to: number, value: number): void {
  out[to] = value
}

function nibbles(b: DataView, at: number, out: Float32Array, to: number, scale: number, min: number): void {
  for (let i = 0; i < 16; i++) {
    const byte = b.getUint8(at + i)
    out[to + i] = scale * (byte & 15) + min
    out[to + 16 + i] = scale * (byte >> 4) + min
  }
}

/** Whether the weights of a file can be written as floats here, and how many bytes that takes. */
export async function floatGgufSize(path: string): Promise<number | undefined> {
  const { tensors } = await readGgufLayout(path)
  if (tensors.some(({ type }) => TYPES[type] === undefined)) return undefined
  return tensors.reduce((sum, { shape }) => sum + 4 * elements(shape), 0)
}

/** Writes the same model with every weight as a 32-bit float. Throws GgufError for types it does not know. */
export async function writeFloatGguf(from: string, to: string): Promise<void> {
  const layout = await readGgufLayout(from)
  const source = await open(from, 'r')
  const target = await open(to, 'wx')
  try {
    const head = Buffer.alloc(layout.tensorsAt)
    await readFully(source, head, 0, from)
    const list = tensorList(layout)
    const start = align(head.length + list.length, layout.alignment)
    await target.writev([head, list, Buffer.alloc(start - head.length - list.length)])
    for (const tensor of layout.tensors) await copyTensor(source, target, tensor, layout, from)
  } finally {
    await Promise.all([source.close(), target.close()])
  }
}

async function copyTensor(
  source: FileHandle,
  target: FileHandle,
  tensor: GgufTensorInfo,
  layout: GgufLayout,
  path: string,
): Promise<void> {
  const type = TYPES[tensor.type]
  if (!type)
    throw new GgufError(path, `the type ${tensor.type} of ${tensor.name} cannot be written as floats`)
  const total = elements(tensor.shape)
  let at = layout.dataAt + tensor.offset
  for (let done = 0; done < total; done += CHUNK_VALUES) {
    const values = Math.min(CHUNK_VALUES, total - done)
    const bytes = Buffer.alloc((values / type.values) * type.bytes)
    await readFully(source, bytes, at, path)
    at += bytes.length
    const out = new Float32Array(values)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let n = 0, byte = 0; n < values; n += type.values, byte += type.bytes)
      type.decode(view, byte, out, n)
    await target.writeFile(new Uint8Array(out.buffer))
  }
  const size = total * 4
  await target.writeFile(Buffer.alloc(align(size, layout.alignment) - size))
}

function tensorList({ tensors, alignment }: GgufLayout): Buffer {
  let offset = 0
  const parts = tensors.flatMap(({ name, shape }) => {
    const text = Buffer.from(name)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    const rest = Buffer.alloc(4 + shape.length * 8 + 12)
    let at = rest.writeUInt32LE(shape.length)
    for (const n of shape) at = rest.writeBigUInt64LE(BigInt(n), at)
    at = rest.writeUInt32LE(F32, at)
    rest.writeBigUInt64LE(BigInt(offset), at)
    offset += align(elements(shape) * 4, alignment)
    return [length, text, rest]
  })
  return Buffer.concat(parts)
}

async function readFully(handle: FileHandle, into: Buffer, at: number, path: string): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, at + done)
    if (bytesRead === 0) throw new GgufError(path, 'it is cut off')
    done += bytesRead
  }
}

const elements = (shape: number[]) => shape.reduce((a, b) => a * b, 1)
const align = (n: number, to: number) => Math.ceil(n / to) * to

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
