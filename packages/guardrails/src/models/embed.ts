// SPDX-License-Identifier: Apache-2.0
import { operationUrl, postJson } from './client.ts'
import { ModelError } from './errors.ts'
import type { ModelSettings } from './resolve.ts'

/** Time that a text waits for its vector, and that a failed embedder is left alone. */
const LIMIT_MS = 20_000
const REST_MS = 30_000

/** Makes an embedder of the NIM's /v1/embeddings. While it is down it fails at once, and dialogs go by words. */
export function createEmbedder(on: {
  model: string
  models: ModelSettings
  fetch: typeof globalThis.fetch
}): (texts: string[], signal: AbortSignal) => Promise<number[][]> {
  const { model, models, fetch } = on
  let restsUntil = 0
  return async (texts, signal) => {
    if (Date.now() < restsUntil) throw new ModelError({ model, reason: 'it did not answer a moment ago' })
    const url = operationUrl(models.nimUrl, '/embeddings')
    const limited = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)])
    try {
      const body = { model, input: texts }
      const response = await postJson({ url, model, body, key: models.nimKey, signal: limited, fetch })
      const { data } = (await response.json()) as { data?: { index?: number; embedding: number[] }[] }
      if (data?.length !== texts.length)
        throw new ModelError({ model, reason: 'it gave not one vector for each text' })
      return [...data].sort((a, b) => (a.index ?? 0) - (b.index ?? 0)).map((d) => d.embedding)
    } catch (err) {
      if (!signal.aborted) restsUntil = Date.now() + REST_MS
      throw err
    }
  }
}
