// SPDX-License-Identifier: Apache-2.0

/** The name that the adapter answers to. */
export const ADAPTER = 'bench/adapter@v1'

const RANK = 8
/** Of the reference model. */
const LAYERS = 30
const HIDDEN = 576
const MODULES: [name: string, out: number][] = [
  ['q_proj', HIDDEN],
  ['k_proj', 192],
  ['v_proj', 192],
  ['o_proj', HIDDEN],
]

/** Uploads a LoRA adapter of the reference model with small random weights, as a training would, and names it. */
export async function addAdapter(platform: string, base: string): Promise<void> {
  const hub = `${platform}/v1/hf/api`
  const config = {
    peft_type: 'LORA',
    r: RANK,
    lora_alpha: 16,
    target_modules: MODULES.map(([name]) => name),
    base_model_name_or_path: base,
  }
  const files = {
    'adapter_config.json': Buffer.from(JSON.stringify(config)),
    'adapter_model.safetensors': weights(),
  }
  await post(`${hub}/repos/create`, JSON.stringify({ type: 'model', organization: 'bench', name: 'adapter' }))
  const lines = [
    { key: 'header', value: { summary: 'adapter' } },
    ...Object.entries(files).map(([path, bytes]) => ({
      key: 'file',
      value: { path, encoding: 'base64', content: bytes.toString('base64') },
    })),
  ]
  const body = lines.map((line) => JSON.stringify(line)).join('\n')
  await post(`${hub}/models/bench/adapter/commit/main`, body, 'application/x-ndjson')
  const [namespace, name] = ADAPTER.split('/')
  const entity = {
    namespace,
    name,
    base_model: base,
    peft: { finetuning_type: 'lora' },
    artifact: { files_url: 'hf://models/bench/adapter@main', status: 'upload_completed' },
  }
  await post(`${platform}/v1/models`, JSON.stringify(entity))
}

async function post(url: string, body: string, type = 'application/json'): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
}

/** A safetensors file in PEFT's names. */
function weights(): Buffer {
  const header: Record<string, object> = {}
  const parts: Float32Array[] = []
  let at = 0
  const add = (name: string, shape: [number, number], scale: number) => {
    const data = Float32Array.from({ length: shape[0] * shape[1] }, () => (Math.random() - 0.5) * scale)
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + data.byteLength] }
    parts.push(data)
    at += data.byteLength
  }
  for (let layer = 0; layer < LAYERS; layer++) {
    for (const [module, out] of MODULES) {
      const name = `base_model.model.model.layers.${layer}.self_attn.${module}`
      add(`${name}.lora_A.weight`, [RANK, HIDDEN], 0.1)
      add(`${name}.lora_B.weight`, [out, RANK], 0.01)
    }
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, ...parts.map((part) => Buffer.from(part.buffer))])
}
