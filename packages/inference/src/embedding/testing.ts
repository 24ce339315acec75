// SPDX-License-Identifier: Apache-2.0

const CONFIG = {
  model_type: 'bert',
  hidden_act: 'gelu',
  hidden_size: 2,
  intermediate_size: 4,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 8,
  num_attention_heads: 1,
  num_hidden_layers: 0,
}
const SHAPES: Record<string, number[]> = {
  'embeddings.word_embeddings.weight': [6, 2],
  'embeddings.position_embeddings.weight': [8, 2],
  'embeddings.token_type_embeddings.weight': [2, 2],
  'embeddings.LayerNorm.weight': [2],
  'embeddings.LayerNorm.bias': [2],
  'pooler.dense.weight': [2, 2],
}

export interface Change {
  without?: string
  /** Tensors with other shapes, or further ones. */
  shapes?: Record<string, number[]>
  value?: number
}

/** The files of a BERT model without layers, and weights for it with whatever is wrong with them, for tests. */
export function tinyBert() {
  const weights = ({ without = '', shapes = {}, value = 0.5 }: Change = {}): Uint8Array => {
    const all = Object.entries({ ...SHAPES, ...shapes }).filter(([name]) => name !== without)
    let at = 0
    const entries = all.map(([name, shape]) => {
      const begin = at
      at += 4 * shape.reduce((a, b) => a * b, 1)
      return [name, { dtype: 'F32', shape, data_offsets: [begin, at] }]
    })
    const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(header.length))
    return Buffer.concat([size, header, Buffer.from(new Float32Array(at / 4).fill(value).buffer)])
  }
  const files = {
    'config.json': JSON.stringify(CONFIG),
    'vocab.txt': '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n',
    'model.safetensors': weights(),
  }
  return { files, weights }
}
