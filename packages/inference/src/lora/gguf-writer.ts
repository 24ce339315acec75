// SPDX-License-Identifier: Apache-2.0

export type GgufValue = { type: 'string'; value: string } | { type: 'f32' | 'u32'; value: number }

export interface GgufTensor {
  name: string
  /** Outermost first, as in safetensors; GGUF itself stores the innermost first. */
  shape: number[]
  data: Float32Array
}

const ALIGNMENT = 32
const TYPE_ID = { u32: 4, f32: 6, string: 8 } as const
const GGML_F32 = 0

/** Writes a GGUF version 3 file of 32-bit float tensors. */
export function writeGguf(metadata: Record<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
  const head = new ByteWriter()
  head.ascii('GGUF')
  head.u32(3)
  head.u64(tensors.length)
  head.u64(Object.keys(metadata).length)
  for (const [key, entry] of Object.entries(metadata)) {
    head.string(key)
    head.u32(TYPE_ID[entry.type])
    if (entry.type === 'string') head.string(entry.value)
    else if (entry.type === 'f32') head.f32(entry.value)
    else head.u32(entry.value)
  }
  let offset = 0
  for (const { name, shape, data } of tensors) {
    head.string(name)
    head.u32(shape.length)
    for (const n of shape.toReversed()) head.u64(n)
    head.u32(GGML_F32)
    head.u64(offset)
    offset += padded(data.byteLength)
  }
  const start = padded(head.length)
  const out = new Uint8Array(start + offset)
  out.set(head.bytes())
  let at = start
  for (const { data } of tensors) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    at += padded(data.byteLength)
  }
  return out
}

const padded = (n: number) => Math.ceil(n / ALIGNMENT) * ALIGNMENT

class ByteWriter {
  #parts: Uint8Array[] = []
  length = 0

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.length += bytes.byteLength
  }

  #number(size: number, write: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(size))
    write(view)
    this.#push(new Uint8Array(view.buffer))
  }

  ascii(text: string): void {
    this.#push(new TextEncoder().encode(text))
  }

  u32(value: number): void {
    this.#number(4, (v) => v.setUint32(0, value, true))
  }

  u64(value: number): void {
    this.#number(8, (v) => v.setBigUint64(0, BigInt(value), true))
  }

  f32(value: number): void {
    this.#number(4, (v) => v.setFloat32(0, value, true))
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u64(bytes.byteLength)
    this.#push(bytes)
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}
