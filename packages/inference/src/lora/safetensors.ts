// SPDX-License-Identifier: Apache-2.0

/** A tensor of a safetensors file; `data` is a view of the file's bytes, little-endian, row-major. */
export interface SafeTensor {
  dtype: 'F32' | 'F16' | 'BF16'
  shape: number[]
  data: Uint8Array
}

/** The file is not what its format says; the message names the tensor. */
export class SafetensorsError extends Error {
  override name = 'SafetensorsError'
}

const WIDTH = { F32: 4, F16: 2, BF16: 2 } as const
/** Longest header that is read, in bytes. */
export const MAX_HEADER = 16 * 1024 * 1024

/**
 * Reads a safetensors file as untrusted input: every length, offset, shape and type is checked against the file.
 * Tensors that are not `wanted` are passed over. Throws SafetensorsError.
 */
export function readSafetensors(
  file: Uint8Array,
  wanted: (name: string) => boolean = () => true,
): Map<string, SafeTensor> {
  const tensors = new Map<string, SafeTensor>()
  const { header, body } = splitFile(file)
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__' && wanted(name)) tensors.set(name, readEntry(name, entry, body))
  }
  return tensors
}

function splitFile(file: Uint8Array): { header: Record<string, unknown>; body: Uint8Array } {
  if (file.byteLength < 8) throw new SafetensorsError('the file is shorter than its header')
  const size = new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true)
  if (size > MAX_HEADER || Number(size) > file.byteLength - 8) {
    throw new SafetensorsError(`its header says ${size} bytes, which the file does not have`)
  }
  const end = 8 + Number(size)
  return { header: parseHeader(file.subarray(8, end)), body: file.subarray(end) }
}

/** The entries of a header by their names. Throws SafetensorsError. */
export function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new SafetensorsError('its header is not JSON', { cause })
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new SafetensorsError('its header is not an object')
  }
  return header as Record<string, unknown>
}

function readEntry(name: string, entry: unknown, body: Uint8Array): SafeTensor {
  const { dtype, shape, begin, end } = spanOf(name, entry, body.byteLength)
  return { dtype, shape, data: body.subarray(begin, end) }
}

/** Type, shape and place of a tensor by its entry, checked against the bytes that follow the header. */
export function spanOf(
  name: string,
  entry: unknown,
  available: number,
): Pick<SafeTensor, 'dtype' | 'shape'> & { begin: number; end: number } {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new SafetensorsError(`${name} has the type ${String(dtype)}: only F32, F16 and BF16 are read`)
  }
  if (!isNaturals(shape) || shape.length > 4) throw new SafetensorsError(`${name} has no valid shape`)
  if (!isNaturals(offsets) || offsets.length !== 2) throw new SafetensorsError(`${name} has no valid offsets`)
  const [start = 0, stop = 0] = offsets
  const bytes = shape.reduce((a, b) => a * b, 1) * WIDTH[dtype]
  if (stop > available || stop - start !== bytes) {
    throw new SafetensorsError(
      `${name}: shape [${shape.join(', ')}] of ${dtype} needs ${bytes} bytes, its offsets ${start}..${stop} of ${available} do not give them`,
    )
  }
  return { dtype, shape, begin: start, end: stop }
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0)
}

/** The values of a tensor as 32-bit floats; exact for all three types. */
export function toFloat32(tensor: SafeTensor): Float32Array {
  const { data, dtype } = tensor
  // Views need aligned offsets, which a file does not promise.
  const bytes = new Uint8Array(data).buffer
  if (dtype === 'F32') return new Float32Array(bytes)
  const halves = new Uint16Array(bytes)
  if (dtype === 'F16') return Float32Array.from(halves, halfToFloat)
  const out = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) out[i] = (halves[i] ?? 0) << 16
  return new Float32Array(out.buffer)
}

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
