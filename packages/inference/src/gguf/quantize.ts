// SPDX-License-Identifier: Apache-2.0

/** GGML's numbers of the types that are written here. */
export const GGML = { f32: 0, f16: 1, q8_0: 8 } as const
export type WeightType = keyof typeof GGML

const BLOCK = 32
const BLOCK_BYTES = 34

// Node has it; the library of types that this project compiles with does not name it yet.
const Half = (globalThis as unknown as { Float16Array: new (from: ArrayLike<number>) => Float32Array })
  .Float16Array

/** Bytes that `count` values take, which for q8_0 must be whole blocks. */
export function sizeOf(type: WeightType, count: number): number {
  if (type === 'q8_0') return (count / BLOCK) * BLOCK_BYTES
  return count * (type === 'f16' ? 2 : 4)
}

/** The type a tensor is kept in: vectors as floats; rows that are not whole blocks in half precision. */
export function typeOf(shape: readonly number[], wanted: WeightType): WeightType {
  if (shape.length < 2) return 'f32'
  return wanted === 'q8_0' && (shape.at(-1) ?? 0) % BLOCK !== 0 ? 'f16' : wanted
}

/** The values as GGML keeps them, to the bit as llama.cpp's own converter writes them. */
export function encode(values: Float32Array, type: WeightType): Uint8Array {
  if (type === 'q8_0') return quantize(values)
  const made = type === 'f16' ? new Half(values) : values
  return new Uint8Array(made.buffer, made.byteOffset, made.byteLength)
}

/** Blocks of 32 values: their largest is 127 steps of a half-precision scale, each value a number of steps. */
function quantize(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK
  const out = new Uint8Array(blocks * BLOCK_BYTES)
  const steps = new Int8Array(out.buffer)
  const scales = new Float32Array(blocks)
  const { fround } = Math
  for (let block = 0; block < blocks; block++) {
    const from = block * BLOCK
    let largest = 0
    for (let i = from; i < from + BLOCK; i++) largest = Math.max(largest, Math.abs(values[i] ?? 0))
    const scale = fround(largest / 127)
    const inverse = scale === 0 ? 0 : fround(1 / scale)
    scales[block] = scale
    const to = block * BLOCK_BYTES + 2
    for (let i = 0; i < BLOCK; i++) steps[to + i] = roundAway(fround((values[from + i] ?? 0) * inverse))
  }
  const halves = new Uint16Array(new Half(scales).buffer)
  for (let block = 0; block < blocks; block++) {
    const bits = halves[block] ?? 0
    out[block * BLOCK_BYTES] = bits & 0xff
    out[block * BLOCK_BYTES + 1] = bits >> 8
  }
  return out
}

/** Halves are rounded away from zero, unlike Math.round's. */
function roundAway(value: number): number {
  const size = Math.abs(value)
  const whole = Math.floor(size)
  const rounded = whole + Math.floor(2 * (size - whole))
  return value < 0 ? -rounded : rounded
}
