// SPDX-License-Identifier: Apache-2.0

/** Architectures of GGUF whose tensors are those of Llama's Hugging Face models under other names. */
export const CONVERTED = new Set(['llama', 'qwen2', 'qwen3', 'smollm3'])

const OUTSIDE: Record<string, string> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
}
const INSIDE: Record<string, string> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** The Hugging Face name of a GGUF tensor; undefined for one that is no weight of the model (`rope_freqs`). */
export function huggingFaceName(name: string): string | undefined {
  const [, layer, part = '', kind] = /^blk\.(\d{1,4})\.(\w+)\.(weight|bias)$/.exec(name) ?? []
  if (layer === undefined) return OUTSIDE[name]
  const inside = INSIDE[part]
  return inside && `model.layers.${layer}.${inside}.${kind}`
}

/** Whether llama.cpp wants the rows of each head of this tensor in another order. */
export function headsOf(
  name: string,
  shape: { architecture: string; heads: number; kvHeads: number },
): number {
  if (shape.architecture !== 'llama') return 0
  if (/\.attn_q\.(weight|bias)$/.test(name)) return shape.heads
  return /\.attn_k\.(weight|bias)$/.test(name) ? shape.kvHeads : 0
}
