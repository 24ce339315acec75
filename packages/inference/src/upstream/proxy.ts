// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { Served } from '../models/served-models.ts'

/** Counts how often a request has been passed on, so that models that point at each other end. */
const HOPS_HEADER = 'x-nemo-hops'
const MAX_HOPS = 4
/** Response headers that mean something to the caller; the rest is between us and the upstream. */
const PASSED = ['content-type', 'retry-after', 'x-should-retry', 'x-request-id']

export interface ProxyRequest {
  served: Served & { kind: 'upstream' }
  /** Below the endpoint's url, such as `/chat/completions`. */
  path: string
  body: Record<string, unknown>
  headers: Headers
  signal: AbortSignal
  fetch: typeof globalThis.fetch
}

/**
 * Passes a request on to the OpenAI-compatible server of a model, under the model's name and key there, and gives the
 * answer back as it comes. Connections are pooled by fetch. Throws UPSTREAM_UNREACHABLE.
 */
export async function proxy(request: ProxyRequest): Promise<Response> {
  const { served, body, headers, signal } = request
  const { url, model_id, api_key } = served.endpoint
  const hops = Number(headers.get(HOPS_HEADER) ?? 0) + 1
  if (!(hops <= MAX_HOPS)) {
    throw errors.UPSTREAM_UNREACHABLE({ model: served.name, reason: 'its api_endpoint leads back to here' })
  }
  const outgoing = new Headers({ 'content-type': 'application/json', [HOPS_HEADER]: String(hops) })
  const accept = headers.get('accept')
  if (accept) outgoing.set('accept', accept)
  const key = headers.get('x-model-authorization') ?? api_key
  if (key) outgoing.set('authorization', /^bearer /i.test(key) ? key : `Bearer ${key}`)
  let response: Response
  try {
    response = await request.fetch(endpointUrl(url, request.path), {
      method: 'POST',
      headers: outgoing,
      body: JSON.stringify({ ...body, model: model_id }),
      signal,
    })
  } catch (cause) {
    if (signal.aborted) throw cause
    throw errors.UPSTREAM_UNREACHABLE({ model: served.name, reason: words(cause) }, { cause })
  }
  const answer = new Headers()
  for (const name of PASSED) {
    const value = response.headers.get(name)
    if (value !== null) answer.set(name, value)
  }
  return new Response(response.body, { status: response.status, headers: answer })
}

/** Users write the url with and without `/v1`, and some with the whole path of the operation. */
export function endpointUrl(url: string, path: string): string {
  const base = url.replace(/\/+$/, '')
  if (base.endsWith(path)) return base
  const bare = base.replace(/\/(chat\/completions|completions|embeddings)$/, '')
  return bare + path
}

function words(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  if (!(inner instanceof Error)) return String(inner)
  return inner.message || ('code' in inner ? String(inner.code) : inner.name)
}
