// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { Served } from '../models/served-models.ts'
import { type Answer, PASSED, type Transport } from './transport.ts'

/** Counts how often a request has been passed on, so that models that point at each other end. */
const HOPS_HEADER = 'x-nemo-hops'
const MAX_HOPS = 4

export interface ProxyRequest {
  served: Served & { kind: 'upstream' }
  /** Below the endpoint's url, such as `/chat/completions`. */
  path: string
  body: Record<string, unknown>
  headers: Headers
  signal: AbortSignal
  send: Transport
}

/**
 * Passes a request on to the OpenAI-compatible server of a model, under the model's name and key there, and gives the
 * answer back as it comes. Throws UPSTREAM_UNREACHABLE.
 */
export async function proxy(request: ProxyRequest): Promise<Response> {
  const { served, body, headers, signal } = request
  const { url, model_id, api_key } = served.endpoint
  const hops = Number(headers.get(HOPS_HEADER) ?? 0) + 1
  if (!(hops <= MAX_HOPS)) {
    throw errors.UPSTREAM_UNREACHABLE({ model: served.name, reason: 'its api_endpoint leads back to here' })
  }
  const outgoing: Record<string, string> = { 'content-type': 'application/json', [HOPS_HEADER]: String(hops) }
  const accept = headers.get('accept')
  if (accept) outgoing.accept = accept
  const key = headers.get('x-model-authorization') ?? api_key
  if (key) outgoing.authorization = /^bearer /i.test(key) ? key : `Bearer ${key}`
  let upstream: Answer
  try {
    upstream = await request.send({
      url: endpointUrl(url, request.path),
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
    const value = upstream.headers.get(name)
    if (value !== null) answer.set(name, value)
  }
  return new Response(upstream.body, { status: upstream.status, headers: answer })
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
