// SPDX-License-Identifier: Apache-2.0

/** How requests to one model are made. */
export interface ModelOptions {
  /** Requests at one time. */
  parallelism?: number | undefined
  /** Seconds until a request counts as lost. */
  requestTimeout?: number | undefined
  /** Times that a request is sent again after 429, 5xx, a lost connection or a time-out. */
  maxRetries?: number | undefined
}

export interface ChatMessage {
  role: string
  content?: string | null
  tool_calls?: { id?: string; type?: string; function: { name: string; arguments: unknown } }[] | null
  [more: string]: unknown
}

/** What a model said, and its whole answer. */
export interface ModelAnswer {
  text: string
  message?: ChatMessage
  response: Record<string, unknown>
}

export type Operation =
  | 'chat/completions'
  | 'completions'
  | 'embeddings'
  | 'ranking'
  | 'tokenize'
  | 'detokenize'
  | 'tokenizer_info'
  | 'models'

/** One model behind an OpenAI-compatible endpoint. */
export interface ModelClient {
  /** The model's id as sent. */
  readonly modelId: string
  /** The URL as it was given, without user and password. */
  readonly given: string
  /** The URL of an operation, whether a base URL or a full one was given. */
  url(operation: Operation): string
  chat(body: Record<string, unknown>): Promise<ModelAnswer>
  complete(body: Record<string, unknown>): Promise<ModelAnswer>
  /** One vector a text, in their order; `inputType` is `query` or `passage`. */
  embed(texts: string[], inputType?: string): Promise<number[][]>
  /** Sends any body (`model` is filled in) and gives the JSON answer. */
  post(operation: Operation, body: Record<string, unknown>): Promise<Record<string, unknown>>
  /** The JSON answer to a GET; `model` is in its query. */
  get(operation: Operation): Promise<Record<string, unknown>>
}

/** The endpoint's answer was an error, or none came; nothing of it is secret. */
export class ModelError extends Error {
  readonly status: number | undefined

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelError'
    this.status = status
  }
}
