// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from 'node:fs/promises'

/** What a GGUF file says of itself, as far as the catalogue needs it. */
export interface GgufInfo {
  architecture: string
  /** Counted from the tensors' shapes. */
  numParameters: number
  /** `<architecture>.context_length`; 0 when the file does not say. */
  contextSize: number
  chatTemplate: string | undefined
  license: string | undefined
  name: string | undefined
  /** It has a head that scores a whole input: a reranker. */
  ranks: boolean
}

/** A file that is not a GGUF file, or a damaged one. */
export class GgufError extends Error {
  constructor(path: string, reason: string) {
    super(`${path} is not a usable GGUF file: ${reason}`)
    this.name = 'GgufError'
  }
}

const MAX_COUNT = 10_000_000
const MAX_STRING = 64 * 1024 * 1024
const CHUNK = 1024 * 1024
const MAX_ALIGNMENT = 1024 * 1024
/** Arrays in arrays; llama.cpp itself reads none. */
const MAX_NESTING = 4

const SCALAR_BYTES: Record<number, number> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
}
/** Tensors of a head that scores a whole input. */
const SCORING_HEAD = new Set(['cls.weight', 'cls.output.weight'])
const TYPE_STRING = 8
const TYPE_ARRAY = 9

/** Reads the header of a GGUF file (version 2 or 3); the weights are not read. Throws GgufError. */
export async function readGgufInfo(path: string): Promise<GgufInfo> {
  const handle = await open(path, 'r')
  try {
    return await readHeader(new Reader(handle, path), path)
  } finally {
    await handle.close()
  }
}

/** One tensor as the file describes it; `shape` has the innermost dimension first, as GGUF stores it. */
export interface GgufTensorInfo {
  name: string
  shape: number[]
  /** GGML's number of the type. */
  type: number
  /** From the start of the tensors' data. */
  offset: number
}

/** Where the parts of a GGUF file are. */
export interface GgufLayout {
  tensors: GgufTensorInfo[]
  /** Where the metadata ends and the list of tensors begins. */
  tensorsAt: number
  /** Where the tensors' data begins. */
  dataAt: number
  architecture: string
  /** Metadata that are numbers or strings. */
  metadata: ReadonlyMap<string, string | number>
  /** Where the values of these begin. */
  valuesAt: ReadonlyMap<string, number>
  alignment: number
}

/** Reads where the tensors of a GGUF file (version 2 or 3) are. Throws GgufError. */
export async function readGgufLayout(path: string): Promise<GgufLayout> {
  const handle = await open(path, 'r')
  try {
    const reader = new Reader(handle, path)
    const { meta, valuesAt, count } = await readMetadata(reader, path)
    const tensorsAt = reader.offset
    const tensors: GgufTensorInfo[] = []
    for (let i = 0; i < count; i++) tensors.push(await reader.tensor())
    const alignment = Number(meta.get('general.alignment') ?? 32)
    if (!(Number.isSafeInteger(alignment) && alignment > 0 && alignment <= MAX_ALIGNMENT))
      throw new GgufError(path, `its alignment is ${alignment}`)
    const dataAt = Math.ceil(reader.offset / alignment) * alignment
    const architecture = String(meta.get('general.architecture') ?? '')
    return { tensors, tensorsAt, dataAt, alignment, architecture, metadata: meta, valuesAt }
  } finally {
    await handle.close()
  }
}

async function readMetadata(
  reader: Reader,
  path: string,
): Promise<{ meta: Map<string, string | number>; valuesAt: Map<string, number>; count: number }> {
  if ((await reader.bytes(4)).toString('latin1') !== 'GGUF')
    throw new GgufError(path, 'it does not begin with GGUF')
  const version = await reader.uint32()
  if (version !== 2 && version !== 3) throw new GgufError(path, `its version is ${version}, not 2 or 3`)
  const count = await reader.count()
  const pairs = await reader.count()
  const meta = new Map<string, string | number>()
  const valuesAt = new Map<string, number>()
  for (let i = 0; i < pairs; i++) {
    const key = await reader.string()
    const type = await reader.uint32()
    const at = reader.offset
    const value = await reader.value(type)
    if (value === undefined) continue
    meta.set(key, value)
    valuesAt.set(key, at)
  }
  return { meta, valuesAt, count }
}

async function readHeader(reader: Reader, path: string): Promise<GgufInfo> {
  const { meta, count } = await readMetadata(reader, path)
  let numParameters = 0
  let ranks = false
  for (let i = 0; i < count; i++) {
    const { name, shape } = await reader.tensor()
    numParameters += shape.reduce((a, b) => a * b, 1)
    ranks ||= SCORING_HEAD.has(name)
  }
  if (!Number.isSafeInteger(numParameters)) throw new GgufError(path, 'its tensors are larger than any file')
  const architecture = String(meta.get('general.architecture') ?? '')
  if (architecture === '') throw new GgufError(path, 'it names no architecture')
  const text = (key: string) => {
    const value = meta.get(key)
    return value === undefined ? undefined : String(value)
  }
  const contextSize = Number(meta.get(`${architecture}.context_length`) ?? 0)
  if (!Number.isSafeInteger(contextSize) || contextSize < 0)
    throw new GgufError(path, `its context_length is ${contextSize}`)
  return {
    architecture,
    numParameters,
    contextSize,
    chatTemplate: text('tokenizer.chat_template'),
    license: text('general.license'),
    name: text('general.name'),
    ranks,
  }
}

class Reader {
  private readonly handle: FileHandle
  private readonly path: string
  private buffer: Buffer = Buffer.alloc(0)
  private at = 0
  private position = 0
  private size: number | undefined

  constructor(handle: FileHandle, path: string) {
    this.handle = handle
    this.path = path
  }

  /** Refuses lengths that the file does not have, before memory is taken for them. */
  private async expect(length: number): Promise<void> {
    this.size ??= (await this.handle.stat()).size
    if (length > this.size - this.offset) throw new GgufError(this.path, 'its header is cut off')
  }

  async bytes(length: number): Promise<Buffer> {
    if (this.buffer.length - this.at < length) await this.expect(length)
    while (this.buffer.length - this.at < length) {
      const chunk = Buffer.alloc(Math.max(CHUNK, length))
      const { bytesRead } = await this.handle.read(chunk, 0, chunk.length, this.position)
      if (bytesRead === 0) throw new GgufError(this.path, 'its header is cut off')
      this.position += bytesRead
      this.buffer = Buffer.concat([this.buffer.subarray(this.at), chunk.subarray(0, bytesRead)])
      this.at = 0
    }
    const out = this.buffer.subarray(this.at, this.at + length)
    this.at += length
    return out
  }

  async uint32(): Promise<number> {
    return (await this.bytes(4)).readUInt32LE()
  }

  async uint64(): Promise<number> {
    return Number((await this.bytes(8)).readBigUInt64LE())
  }

  async count(limit = MAX_COUNT): Promise<number> {
    const n = await this.uint64()
    if (n > limit) throw new GgufError(this.path, `a count of ${n} in its header is not plausible`)
    return n
  }

  async string(): Promise<string> {
    return (await this.bytes(await this.count(MAX_STRING))).toString('utf8')
  }

  /** A string or a number; undefined for arrays, which are skipped. */
  async value(type: number, depth = 0): Promise<string | number | undefined> {
    if (type === TYPE_STRING) return this.string()
    if (type === TYPE_ARRAY) return this.skipArray(depth + 1)
    const size = SCALAR_BYTES[type]
    if (size === undefined)
      throw new GgufError(this.path, `a value in its header has the unknown type ${type}`)
    return readScalar(type, await this.bytes(size))
  }

  private async skipArray(depth: number): Promise<undefined> {
    if (depth > MAX_NESTING) throw new GgufError(this.path, 'it has arrays in arrays in arrays')
    const type = await this.uint32()
    const length = await this.count()
    const size = SCALAR_BYTES[type]
    if (size !== undefined) await this.skip(length * size)
    else for (let i = 0; i < length; i++) await this.value(type, depth)
    return undefined
  }

  private async skip(length: number): Promise<void> {
    await this.expect(length)
    for (let left = length; left > 0; left -= CHUNK) await this.bytes(Math.min(left, CHUNK))
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.position - (this.buffer.length - this.at)
  }

  async tensor(): Promise<GgufTensorInfo> {
    const name = await this.string()
    const dimensions = await this.uint32()
    if (dimensions > 8) throw new GgufError(this.path, `a tensor has ${dimensions} dimensions`)
    const shape: number[] = []
    for (let i = 0; i < dimensions; i++) shape.push(await this.uint64())
    const tensor = { name, shape, type: await this.uint32(), offset: await this.uint64() }
    if (![...shape, tensor.offset].every(Number.isSafeInteger))
      throw new GgufError(this.path, 'the place or shape of a tensor is beyond all files')
    return tensor
  }
}

function readScalar(type: number, data: Buffer): number {
  switch (type) {
    case 1:
      return data.readInt8()
    case 2:
      return data.readUInt16LE()
    case 3:
      return data.readInt16LE()
    case 4:
      return data.readUInt32LE()
    case 5:
      return data.readInt32LE()
    case 6:
      return data.readFloatLE()
    case 10:
      return Number(data.readBigUInt64LE())
    case 11:
      return Number(data.readBigInt64LE())
    case 12:
      return data.readDoubleLE()
    default:
      return data.readUInt8()
  }
}
