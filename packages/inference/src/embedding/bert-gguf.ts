// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { checkShape, WeightsFormatError } from '../gguf/whole.ts'
import { type GgufTensor, type GgufValue, writeGguf } from '../lora/gguf-writer.ts'
import { readSafetensors, toFloat32 } from '../lora/safetensors.ts'

export const bertConfig = z.looseObject({
  model_type: z.literal('bert'),
  hidden_act: z.literal('gelu'),
  hidden_size: z.int(),
  intermediate_size: z.int(),
  layer_norm_eps: z.number(),
  max_position_embeddings: z.int(),
  num_attention_heads: z.int(),
  num_hidden_layers: z.int(),
})

const TOKEN_NORMAL = 1
const TOKEN_CONTROL = 3
const POOLING_MEAN = 1

const OUTSIDE: Record<string, string> = {
  'embeddings.word_embeddings': 'token_embd',
  'embeddings.position_embeddings': 'position_embd',
  'embeddings.token_type_embeddings': 'token_types',
  'embeddings.LayerNorm': 'token_embd_norm',
}
const INSIDE: Record<string, string> = {
  'attention.self.query': 'attn_q',
  'attention.self.key': 'attn_k',
  'attention.self.value': 'attn_v',
  'attention.output.dense': 'attn_output',
  'attention.output.LayerNorm': 'attn_output_norm',
  'intermediate.dense': 'ffn_up',
  'output.dense': 'ffn_down',
  'output.LayerNorm': 'layer_output_norm',
}

/** The GGUF name of a tensor of a BERT model, or undefined for what embeddings do not need. */
export function ggufName(name: string): string | undefined {
  const [, path = '', kind = ''] = /^(?:bert\.)?(.*)\.(weight|bias)$/.exec(name) ?? []
  const [, layer, part = ''] = /^encoder\.layer\.(\d+)\.(.*)$/.exec(path) ?? []
  const to = layer === undefined ? OUTSIDE[path] : INSIDE[part]
  if (to === undefined) return undefined
  return layer === undefined ? `${to}.${kind}` : `blk.${layer}.${to}.${kind}`
}

const WEIGHTS = 'model.safetensors'
/** What other programs write beside the weights, and embeddings do not need. */
const UNUSED = /(^|\.)(pooler\.dense\.(weight|bias)|embeddings\.position_ids)$/

/**
 * Writes a folder of a BERT sentence model (config.json, vocab.txt, model.safetensors) as GGUF with 32-bit weights
 * and mean pooling; `file` has other weights of the same model. Throws when the folder holds another architecture.
 */
export async function writeBertGguf(folder: string, to: string, file = join(folder, WEIGHTS)): Promise<void> {
  const [config, vocabulary, weights] = await Promise.all([
    readFile(join(folder, 'config.json'), 'utf8').then((text) => bertConfig.parse(JSON.parse(text))),
    readVocabulary(folder),
    readFile(file),
  ])
  const tensors: GgufTensor[] = []
  for (const [name, tensor] of readSafetensors(weights, isNeeded)) {
    tensors.push({ name: ggufName(name) ?? name, shape: tensor.shape, data: toFloat32(tensor) })
  }
  await writeFile(to, writeGguf(bertMetadata(config, vocabulary), tensors))
}

/**
 * The same with weights that were tuned from those of the folder: a safetensors file that nobody has to trust. Throws
 * WeightsFormatError or SafetensorsError when it has other tensors, other shapes or what is no number.
 */
export async function writeTunedBertGguf(args: {
  folder: string
  weights: string
  to: string
}): Promise<void> {
  const [own, given] = await Promise.all([
    readFile(join(args.folder, WEIGHTS)).then((file) => readSafetensors(file, isNeeded)),
    readFile(args.weights).then((file) => readSafetensors(file, (name) => !UNUSED.test(name))),
  ])
  const left = new Map([...given].map(([name, tensor]) => [ggufName(name) ?? name, { name, tensor }]))
  for (const [name, { shape }] of own) {
    const key = ggufName(name) ?? name
    const found = left.get(key)
    if (!found) throw new WeightsFormatError(`it has no ${name}`)
    checkShape(found.name, found.tensor.shape, shape)
    if (!toFloat32(found.tensor).every(Number.isFinite)) {
      throw new WeightsFormatError(`${found.name} has values that are not numbers`)
    }
    left.delete(key)
  }
  const [extra] = left.values()
  if (extra) throw new WeightsFormatError(`it has ${extra.name.slice(0, 200)}, which its base model has not`)
  await writeBertGguf(args.folder, args.to, args.weights)
}

const isNeeded = (name: string) => ggufName(name) !== undefined

/** The tokens of a folder's vocab.txt, one a line. */
export async function readVocabulary(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'vocab.txt'), 'utf8')
  return text.replace(/\r?\n$/, '').split(/\r?\n/)
}

/** The metadata of a BERT model with mean pooling. */
export function bertMetadata(
  config: z.infer<typeof bertConfig>,
  vocabulary: string[],
): Record<string, GgufValue> {
  const u32 = (value: number): GgufValue => ({ type: 'u32', value })
  const id = (token: string) => u32(vocabulary.indexOf(token))
  const isControl = (token: string) => /^\[(PAD|UNK|CLS|SEP|MASK)\]$/.test(token)
  // llama.cpp marks what begins a word, WordPiece what does not.
  const shown = (token: string) => {
    if (isControl(token)) return token
    return token.startsWith('##') ? token.slice(2) : `\u2581${token}`
  }
  return {
    'general.architecture': { type: 'string', value: 'bert' },
    'bert.block_count': u32(config.num_hidden_layers),
    'bert.context_length': u32(config.max_position_embeddings),
    'bert.embedding_length': u32(config.hidden_size),
    'bert.feed_forward_length': u32(config.intermediate_size),
    'bert.attention.head_count': u32(config.num_attention_heads),
    'bert.attention.layer_norm_epsilon': { type: 'f32', value: config.layer_norm_eps },
    'bert.attention.causal': { type: 'bool', value: false },
    'bert.pooling_type': u32(POOLING_MEAN),
    'tokenizer.ggml.model': { type: 'string', value: 'bert' },
    'tokenizer.ggml.pre': { type: 'string', value: 'jina-v2-en' },
    'tokenizer.ggml.token_type_count': u32(2),
    'tokenizer.ggml.tokens': { type: 'strings', value: vocabulary.map(shown) },
    'tokenizer.ggml.token_type': {
      type: 'i32s',
      value: vocabulary.map((token) => (isControl(token) ? TOKEN_CONTROL : TOKEN_NORMAL)),
    },
    'tokenizer.ggml.bos_token_id': id('[CLS]'),
    'tokenizer.ggml.eos_token_id': id('[SEP]'),
    'tokenizer.ggml.unknown_token_id': id('[UNK]'),
    'tokenizer.ggml.seperator_token_id': id('[SEP]'),
    'tokenizer.ggml.padding_token_id': id('[PAD]'),
    'tokenizer.ggml.mask_token_id': id('[MASK]'),
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: true },
    'tokenizer.ggml.add_eos_token': { type: 'bool', value: true },
  }
}
