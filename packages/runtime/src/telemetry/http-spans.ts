// SPDX-License-Identifier: Apache-2.0
import { type Carrier, type Span, type Tracing, tracing } from './tracing.ts'

/** A request as spans describe it. */
interface Call {
  service?: string
  method: string
  url: URL
}

/** The trace context that a request brought. */
export function carrierOf(headers: { get(name: string): string | null }): Carrier {
  const traceparent = headers.get('traceparent')
  if (!traceparent) return {}
  const tracestate = headers.get('tracestate')
  return tracestate ? { traceparent, tracestate } : { traceparent }
}

/**
 * Answers a request in a server span, which lasts until a streamed answer has ended. `respond` gets the span, or
 * undefined without traces.
 */
export async function serverSpan(
  call: Call & { parent: Carrier; name: string },
  respond: (span: Span | undefined) => Response | Promise<Response>,
): Promise<Response> {
  const to = tracing()
  if (!to || to.ignores(call.url.pathname)) return await respond(undefined)
  const attributes = { 'http.request.method': call.method, 'url.path': call.url.pathname }
  const { service = 'platform', name, parent } = call
  const span = to.begin({ service, name, kind: 'server', parent, attributes })
  return await answered(to, span, () => respond(span))
}

/** Sends a request in a client span; `send` gets the headers that name it as the parent of the work there. */
export async function clientSpan(
  call: Call,
  send: (headers: Carrier) => Response | Promise<Response>,
): Promise<Response> {
  const to = tracing()
  if (!to || to.ignores(call.url.pathname)) return await send({})
  const { method, url } = call
  const attributes = {
    'http.request.method': method,
    'server.address': url.hostname,
    'url.path': url.pathname,
  }
  const span = to.begin({ name: `${method} ${url.hostname}`, kind: 'client', attributes })
  return await answered(to, span, () => send(span.carrier))
}

/** A fetch in client spans, with the trace context in its requests. */
export function tracedFetch(send: typeof globalThis.fetch): typeof globalThis.fetch {
  return async function traced(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    if (!tracing()) return await send(input, init)
    const request = input instanceof Request ? input : undefined
    const method = init?.method ?? request?.method ?? 'GET'
    return await clientSpan({ method, url: new URL(request?.url ?? String(input)) }, (context) => {
      const headers = new Headers(init?.headers ?? request?.headers)
      // A caller that passes a context on has said whose child the work is.
      if (!headers.has('traceparent'))
        for (const [name, value] of Object.entries(context)) headers.set(name, value)
      return send(input, { ...init, headers })
    })
  }
}

async function answered(
  to: Tracing,
  span: Span,
  respond: () => Response | Promise<Response>,
): Promise<Response> {
  try {
    const response = await to.inside(span, respond)
    span.set({ 'http.response.status_code': response.status })
    if (response.status >= 500) span.fail(`status ${response.status}`)
    if (response.body && response.headers.get('content-type')?.startsWith('text/event-stream'))
      return untilStreamed(response, span)
    span.end()
    return response
  } catch (err) {
    span.fail(err)
    span.end()
    throw err
  }
}

/** The same response; the span ends with its body, or when its reader has gone. */
function untilStreamed(response: Response, span: Span): Response {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        span.end()
        controller.close()
      } catch (err) {
        span.fail(err)
        span.end()
        controller.error(err)
      }
    },
    async cancel(reason) {
      span.set({ 'nemo.client_gone': true })
      span.end()
      await reader.cancel(reason)
    },
  })
  const { status, statusText, headers } = response
  return new Response(body, { status, statusText, headers })
}
