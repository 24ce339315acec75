// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from 'node:fs/promises'
import { type GgufLayout, type GgufTensorInfo, readGgufLayout } from '@open-nemo/runtime/catalogue/gguf.ts'
import { permuteHeads } from '../lora/convert.ts'
import { toFloat32 } from '../lora/safetensors.ts'
import { CONVERTED, headsOf, huggingFaceName } from './names.ts'
import { encode, GGML, sizeOf, typeOf, type WeightType } from './quantize.ts'
import { openSafetensors, type SafetensorsFile } from './safetensors-file.ts'

/** Weights that cannot be served in place of their base's; the message says why. */
export class WeightsFormatError extends Error {
  override name = 'WeightsFormatError'
}

/** GGUF's `general.file_type` of files that are mostly of this type. */
const FILE_TYPE: Record<WeightType, number> = { f32: 0, f16: 1, q8_0: 7 }

interface Planned {
  tensor: GgufTensorInfo
  /** Outermost first. */
  shape: number[]
  type: WeightType
  /** Name in the safetensors file; undefined for what the base's file alone has. */
  from: string | undefined
  bytes: number
  offset: number
}

/**
 * Writes a whole GGUF file of weights that were tuned from a base: everything that the base's file says of the model
 * and its tokenizer stays, and every tensor is taken from `weights`, a safetensors file as transformers writes it. One
 * tensor is in memory at a time. `weights` is untrusted. Throws WeightsFormatError or SafetensorsError.
 */
export async function writeWholeGguf(args: {
  base: string
  weights: string
  to: string
  type: WeightType
}): Promise<void> {
  const layout = await readGgufLayout(args.base)
  const files = await Promise.all([open(args.base, 'r'), open(args.to, 'wx')])
  const [base, target] = files
  let source: SafetensorsFile | undefined
  try {
    source = await openSafetensors(args.weights)
    const plan = planOf(layout, source, args.type)
    const head = await headOf(base, layout, args.type)
    const list = tensorList(plan)
    const start = align(head.length + list.length, layout.alignment)
    await target.writev([head, list, Buffer.alloc(start - head.length - list.length)])
    for (const each of plan) {
      const data = each.from ? await converted(source, each, layout) : await copied(base, each, layout)
      await target.writev([data, Buffer.alloc(align(data.length, layout.alignment) - data.length)])
    }
    await target.sync()
  } finally {
    await Promise.all([...files.map((file) => file.close()), source?.close()])
  }
}

/** What becomes of each tensor of the base; all must be there, in the same shape, and nothing else. */
function planOf(layout: GgufLayout, source: SafetensorsFile, wanted: WeightType): Planned[] {
  if (!CONVERTED.has(layout.architecture)) {
    throw new WeightsFormatError(
      `whole models of the architecture ${layout.architecture || '(none)'} are not converted here, only ${[...CONVERTED].join(', ')}`,
    )
  }
  const left = new Set(source.names())
  let offset = 0
  const plan = layout.tensors.map((tensor) => {
    const from = sourceName(tensor.name, source)
    const shape = tensor.shape.toReversed()
    if (from) checkShape(from, source.shape(from), shape)
    if (from) left.delete(from)
    const type = from ? typeOf(shape, wanted) : 'f32'
    if (!from && tensor.type !== GGML.f32) throw new WeightsFormatError(`it has no ${tensor.name}`)
    const bytes = sizeOf(type, elements(shape))
    const planned = { tensor, shape, type, from, bytes, offset }
    offset += align(bytes, layout.alignment)
    return planned
  })
  // An output layer that is the embedding is sometimes written beside it.
  left.delete('lm_head.weight')
  const [extra] = left
  if (extra) throw new WeightsFormatError(`it has ${extra.slice(0, 200)}, which its base model has not`)
  return plan
}

function sourceName(name: string, source: SafetensorsFile): string | undefined {
  const from = huggingFaceName(name)
  if (!from) return undefined
  if (source.has(from)) return from
  // Tied to the embedding, and kept once.
  if (from === 'lm_head.weight' && source.has('model.embed_tokens.weight')) return 'model.embed_tokens.weight'
  throw new WeightsFormatError(`it has no ${from}`)
}

/** Throws WeightsFormatError when a tensor has another shape than its base's. */
export function checkShape(name: string, given: number[], wanted: number[]): void {
  if (given.join() === wanted.join()) return
  throw new WeightsFormatError(
    `${name} has the shape [${given.join(', ')}], and its base model [${wanted.join(', ')}]`,
  )
}

/** The base's metadata, with the type of the weights as it is now. */
async function headOf(base: FileHandle, layout: GgufLayout, type: WeightType): Promise<Buffer> {
  const head = Buffer.alloc(layout.tensorsAt)
  await readFully(base, head, 0)
  const at = layout.valuesAt.get('general.file_type')
  if (at !== undefined) head.writeUInt32LE(FILE_TYPE[type], at)
  return head
}

function tensorList(plan: Planned[]): Buffer {
  const parts = plan.flatMap(({ tensor, type, offset }) => {
    const name = Buffer.from(tensor.name)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(name.length))
    const rest = Buffer.alloc(4 + 8 * tensor.shape.length + 12)
    rest.writeUInt32LE(tensor.shape.length, 0)
    tensor.shape.forEach((n, i) => {
      rest.writeBigUInt64LE(BigInt(n), 4 + 8 * i)
    })
    rest.writeUInt32LE(GGML[type], 4 + 8 * tensor.shape.length)
    rest.writeBigUInt64LE(BigInt(offset), 8 + 8 * tensor.shape.length)
    return [length, name, rest]
  })
  return Buffer.concat(parts)
}

async function converted(source: SafetensorsFile, each: Planned, layout: GgufLayout): Promise<Uint8Array> {
  const name = each.from ?? ''
  const values = toFloat32(await source.read(name))
  // A weight of NaN would make every answer empty, and say nothing about why.
  if (!values.every(Number.isFinite)) throw new WeightsFormatError(`${name} has values that are not numbers`)
  const heads = headsOf(each.tensor.name, shapeOf(layout))
  const [rows = 0, columns = 1] = each.shape
  if (heads > 0 && rows % (2 * heads) !== 0) {
    throw new WeightsFormatError(`${name}: ${rows} rows do not divide into ${heads} heads`)
  }
  return encode(heads > 0 ? permuteHeads(values, { heads, rows, columns }) : values, each.type)
}

function shapeOf({ architecture, metadata }: GgufLayout) {
  const heads = Number(metadata.get(`${architecture}.attention.head_count`) ?? 0)
  return {
    architecture,
    heads,
    kvHeads: Number(metadata.get(`${architecture}.attention.head_count_kv`) ?? heads),
  }
}

async function copied(base: FileHandle, each: Planned, layout: GgufLayout): Promise<Uint8Array> {
  const data = Buffer.alloc(each.bytes)
  await readFully(base, data, layout.dataAt + each.tensor.offset)
  return data
}

async function readFully(file: FileHandle, into: Buffer, at: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, at + done)
    if (bytesRead === 0) throw new Error('the file of the base model is cut off')
    done += bytesRead
  }
}

const elements = (shape: number[]) => shape.reduce((a, b) => a * b, 1)
const align = (n: number, to: number) => Math.ceil(n / to) * to
