// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { type GgufTensor, writeGguf } from './gguf-writer.ts'
import { readSafetensors, type SafeTensor, toFloat32 } from './safetensors.ts'

/** What the conversion needs to know of the model that the adapter was trained on. */
export interface BaseShape {
  architecture: string
  layers: number
  heads: number
  kvHeads: number
}

/** An adapter that cannot be served on this base; the message says why. */
export class AdapterFormatError extends Error {
  override name = 'AdapterFormatError'
}

const adapterConfig = z.looseObject({
  peft_type: z.literal('LORA', { error: 'only LoRA adapters can be served' }).default('LORA'),
  r: z.int().min(1).max(4096),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  fan_in_fan_out: z.boolean().nullish(),
  bias: z.string().nullish(),
  rank_pattern: z.record(z.string(), z.unknown()).nullish(),
  alpha_pattern: z.record(z.string(), z.unknown()).nullish(),
})

const MODULES: Record<string, string> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}
const NAME =
  /^base_model\.model\.(?:model\.)?layers\.(\d{1,4})\.(self_attn\.\w+|mlp\.\w+)\.lora_([AB])(?:\.default)?\.weight$/

interface Pair {
  a?: SafeTensor
  b?: SafeTensor
}

/**
 * Converts a PEFT LoRA adapter (`adapter_config.json`, `adapter_model.safetensors`) of a Llama-shaped model to
 * a GGUF adapter, as llama.cpp's convert_lora_to_gguf.py does; tensors are written as 32-bit floats.
 * Both inputs are untrusted. Throws AdapterFormatError or SafetensorsError.
 */
export function convertAdapter(configText: string, weights: Uint8Array, base: BaseShape): Uint8Array {
  if (base.architecture !== 'llama') {
    throw new AdapterFormatError(
      `adapters for ${base.architecture} models are not converted here, only llama's`,
    )
  }
  const config = parseAdapterConfig(configText)
  const tensors: GgufTensor[] = []
  for (const [name, pair] of collectPairs(readSafetensors(weights), base)) {
    tensors.push(...convertPair(name, pair, config.r, base))
  }
  // The engine scales by alpha / rank; rank-stabilised adapters by alpha / sqrt(rank).
  const alpha = config.use_rslora ? config.lora_alpha * Math.sqrt(config.r) : config.lora_alpha
  return writeGguf(
    {
      'general.architecture': { type: 'string', value: 'llama' },
      'general.type': { type: 'string', value: 'adapter' },
      'adapter.type': { type: 'string', value: 'lora' },
      'adapter.lora.alpha': { type: 'f32', value: alpha },
    },
    tensors,
  )
}

function parseAdapterConfig(text: string): z.infer<typeof adapterConfig> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new AdapterFormatError('adapter_config.json is not JSON', { cause })
  }
  const parsed = adapterConfig.safeParse(json)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new AdapterFormatError(`adapter_config.json: ${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { use_dora, fan_in_fan_out, bias, rank_pattern, alpha_pattern } = parsed.data
  const refused = [
    use_dora ? 'use_dora' : '',
    fan_in_fan_out ? 'fan_in_fan_out' : '',
    bias && bias !== 'none' ? `bias ${bias}` : '',
    Object.keys(rank_pattern ?? {}).length > 0 ? 'rank_pattern' : '',
    Object.keys(alpha_pattern ?? {}).length > 0 ? 'alpha_pattern' : '',
  ].filter(Boolean)
  if (refused.length > 0) {
    throw new AdapterFormatError(
      `adapter_config.json: ${refused.join(', ')} cannot be served, plain LoRA can`,
    )
  }
  return parsed.data
}

function collectPairs(tensors: Map<string, SafeTensor>, base: BaseShape): Map<string, Pair> {
  const pairs = new Map<string, Pair>()
  for (const [name, tensor] of tensors) {
    const [, layer = '', module = '', side] = NAME.exec(name) ?? []
    const target = MODULES[module]
    if (!target) {
      throw new AdapterFormatError(
        `it changes ${name.slice(0, 200)}: only the attention and MLP projections can be served`,
      )
    }
    if (Number(layer) >= base.layers) {
      throw new AdapterFormatError(`${name} is beyond the ${base.layers} layers of the base model`)
    }
    const key = `blk.${Number(layer)}.${target}.weight`
    const pair = pairs.get(key) ?? {}
    pair[side === 'A' ? 'a' : 'b'] = tensor
    pairs.set(key, pair)
  }
  if (pairs.size === 0) throw new AdapterFormatError('it has no LoRA tensors')
  return pairs
}

function convertPair(name: string, { a, b }: Pair, rank: number, base: BaseShape): GgufTensor[] {
  if (!a || !b) throw new AdapterFormatError(`${name} has only one half of its LoRA pair`)
  if (a.shape.length !== 2 || b.shape.length !== 2 || a.shape[0] !== rank || b.shape[1] !== rank) {
    throw new AdapterFormatError(
      `${name}: lora_A [${a.shape}] and lora_B [${b.shape}] do not have the rank ${rank} of adapter_config.json`,
    )
  }
  const heads = name.includes('.attn_q.') ? base.heads : name.includes('.attn_k.') ? base.kvHeads : 0
  const values = finite(name, toFloat32(b))
  const [rows = 0, columns = 0] = b.shape
  if (heads > 0 && rows % (2 * heads) !== 0) {
    throw new AdapterFormatError(`${name}: ${rows} rows do not divide into ${heads} heads`)
  }
  return [
    { name: `${name}.lora_a`, shape: a.shape, data: finite(name, toFloat32(a)) },
    {
      name: `${name}.lora_b`,
      shape: b.shape,
      data: heads > 0 ? permuteHeads(values, { heads, rows, columns }) : values,
    },
  ]
}

// A tensor of NaN would make every answer of its context empty, and say nothing about why.
function finite(name: string, values: Float32Array): Float32Array {
  if (!values.every(Number.isFinite)) throw new AdapterFormatError(`${name} has values that are not numbers`)
  return values
}

/** Hugging Face keeps the two halves of each head's rotary pairs apart; llama.cpp wants them interleaved. */
export function permuteHeads(
  values: Float32Array,
  { heads, rows, columns }: { heads: number; rows: number; columns: number },
): Float32Array {
  const out = new Float32Array(values.length)
  const half = rows / heads / 2
  for (let head = 0; head < heads; head++) {
    for (let side = 0; side < 2; side++) {
      for (let i = 0; i < half; i++) {
        const from = (head * 2 + side) * half + i
        const to = (head * half + i) * 2 + side
        out.set(values.subarray(from * columns, (from + 1) * columns), to * columns)
      }
    }
  }
  return out
}
