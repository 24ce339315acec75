// SPDX-License-Identifier: Apache-2.0

/** The text to continue, or its token ids. In text, names of control tokens count as control tokens. */
export type Prompt = { text: string } | { tokens: number[] }

/** A LoRA adapter in GGUF form; `key` identifies its bytes. */
export interface AdapterFile {
  key: string
  path: string
}

export interface GenerateRequest {
  prompt: Prompt
  adapter?: AdapterFile | undefined
  /** Most tokens to generate; less when the context is full before. */
  maxTokens: number
  temperature: number
  topP: number
  topK: number
  minP: number
  seed: number
  /** True when the caller chose the seed: then nothing of earlier requests is reused, so that texts repeat. */
  repeatable: boolean
  stop: string[]
  frequencyPenalty: number
  presencePenalty: number
  /** GBNF that the text must follow. */
  grammar?: string | undefined
  /** Goes on after an end-of-text token, until maxTokens. */
  ignoreEos: boolean
  /** Alternatives to report for each token; absent for no log-probabilities. */
  topLogprobs?: number | undefined
  /** Asks for a `prompt` event. */
  echo?: Echo | undefined
}

/** What shall be told of the prompt. */
export interface Echo {
  /** Alternatives to report for each token of the prompt; absent for its text alone. */
  logprobs?: number | undefined
  /** Unquantised weights to score with, where the model has them; the served ones else. */
  weights?: string | undefined
}

/** Natural log-probability of one generated token, and of the likeliest at its place. */
export interface TokenLogprob {
  token: string
  logprob: number
  top: { token: string; logprob: number }[]
}

/** The same of a token of the prompt; the first has no token before it that would make it likely. */
export type PromptLogprob = Omit<TokenLogprob, 'logprob'> & { logprob: number | null }

export type GenerateEvent =
  | { type: 'start'; promptTokens: number; cachedTokens: number }
  | { type: 'prompt'; text: string; logprobs?: PromptLogprob[] | undefined }
  | { type: 'text'; text: string; logprobs?: TokenLogprob[] | undefined }
  | { type: 'end'; finish: 'stop' | 'length'; completionTokens: number }

/** What a text is in tokens, or the text of tokens. */
export type TokenizeRequest = { text: string; addSpecialTokens: boolean } | { tokens: number[] }

export interface Tokenized {
  text: string
  tokens: number[]
  /** The text of each token alone. */
  pieces: string[]
}

/** Texts to score by how well they answer a query. */
export interface RankRequest {
  query: string
  passages: string[]
  /** Cuts the ends of passages that are too long with the query; they are refused otherwise. */
  truncate: boolean
}

export interface Ranked {
  /** In the order of the passages; the higher, the better. */
  logits: number[]
  /** Tokens of all inputs, each the query and a passage. */
  tokens: number
}

/** Also of what embeds: little-endian 32-bit floats of vectors of length one, in base64, in the order of the inputs. */
export type EngineEvent =
  | GenerateEvent
  | { type: 'vectors'; vectors: string[] }
  | { type: 'ranked'; value: Ranked }
  | { type: 'tokenized'; value: Tokenized }

/** What the engine's worker says about a loaded model. Sizes in tokens and bytes. */
export interface LoadedModel {
  /** Longest prompt and answer of one request together. */
  contextSize: number
  /** Longest context that the weights were trained for. */
  trainContextSize: number
  sequences: number
  bos: string | undefined
  eos: string | undefined
  stateBytes: number
  /** Of the weights: what an adapter has to fit. */
  shape: { architecture: string; layers: number; heads: number; kvHeads: number }
}

export type EngineState =
  | { status: 'idle' | 'stopped' }
  | { status: 'loading' | 'restarting'; message: string }
  | { status: 'failed'; message: string }
  | { status: 'ready'; model: LoadedModel }

/** A model that generates text. Made by startEngine; tests have a scripted one. */
export interface Engine {
  state(): EngineState
  /** Resolves when the model can answer. Rejects with EngineError `loading` after `timeoutMs`. */
  ready(timeoutMs: number): Promise<LoadedModel>
  /** Generates; aborting `signal` ends the work in the worker. Throws EngineError. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void, undefined>
  /** Embeds inputs of token ids; only of an engine whose worker embeds. Aborting `signal` ends the work. */
  embed(inputs: number[][], signal: AbortSignal): Promise<string[]>
  /** Scores passages; only of an engine whose worker ranks. Throws EngineError `input_too_long`. */
  rank(request: RankRequest, signal: AbortSignal): Promise<Ranked>
  /** Tokens of a text, or text of tokens; only of an engine whose worker generates. Throws EngineError. */
  tokenize(request: TokenizeRequest, signal: AbortSignal): Promise<Tokenized>
  /** Frees an adapter's memory once nothing uses it. */
  unload(key: string): void
  stop(): Promise<void>
}

export type EngineErrorCode =
  /** The model is not there yet. */
  | 'loading'
  /** The worker ended while it worked for this request. */
  | 'crashed'
  /** Prompt longer than the context; `details` has promptTokens and contextSize. */
  | 'context_overflow'
  /** A passage and its query are longer than the context; `details` has index, tokens and limit. */
  | 'input_too_long'
  /** The prompt has no token. */
  | 'empty_prompt'
  | 'bad_token'
  | 'bad_grammar'
  | 'adapter_failed'
  /** The queue is full. */
  | 'busy'
  | 'stopped'
  | 'internal'

export class EngineError extends Error {
  override name = 'EngineError'
  readonly code: EngineErrorCode
  readonly details: Record<string, number>
  constructor(code: EngineErrorCode, message: string, details: Record<string, number> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}
