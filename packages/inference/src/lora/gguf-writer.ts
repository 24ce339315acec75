// SPDX-License-Identifier: Apache-2.0

export type GgufValue =
  | { type: 'string'; value: string }
  | { type: 'f32' | 'u32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'i32s'; value: readonly number[] }

export interface GgufTensor {
  name: string
  /** Outermost first, as in safetensors; GGUF itself stores the innermost first. */
  shape: number[]
  data: Float32Array
}

const ALIGNMENT = 32
const TYPE_ID = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const
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
    writeValue(head, entry)
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

function writeValue(head: ByteWriter, entry: GgufValue): void {
  if (entry.type === 'strings' || entry.type === 'i32s') {
    head.u32(TYPE_ID.array)
    head.u32(entry.type === 'strings' ? TYPE_ID.string : TYPE_ID.i32)
    head.u64(entry.value.length)
    if (entry.type === 'strings') for (const text of entry.value) head.string(text)
    else head.raw(new Uint8Array(Int32Array.from(entry.value).buffer))
    return
  }
  head.u32(TYPE_ID[entry.type])
  if (entry.type === 'string') head.string(entry.value)
  else if (entry.type === 'f32') head.f32(entry.value)
  else if (entry.type === 'bool') head.raw(Uint8Array.of(entry.value ? 1 : 0))
  else head.u32(entry.value)
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

  raw(bytes: Uint8Array): void {
    this.#push(bytes)
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
