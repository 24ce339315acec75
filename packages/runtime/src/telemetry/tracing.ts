// SPDX-License-Identifier: Apache-2.0

/** W3C trace context: what a span tells to work elsewhere, or that comes later, so that it can name its parent. */
export interface Carrier {
  traceparent?: string
  tracestate?: string
}

export type Attributes = Record<string, string | number | boolean | undefined>

/** A span to begin. */
export interface SpanSpec {
  /** Who does the work, as the collector shows it (`nemo-` goes before it); that of the span around unless given. */
  service?: string
  name: string
  kind?: 'server' | 'client' | 'internal'
  attributes?: Attributes
  /** The parent where no span is active here. */
  parent?: Carrier | undefined
}

/** A span that has begun. */
export interface Span {
  readonly carrier: Carrier
  set(attributes: Attributes): void
  rename(name: string): void
  /** Marks it as failed. */
  fail(reason: unknown): void
  /** Ends it, now or at the time given. A second call does nothing. */
  end(at?: Date): void
}

/** Traces that are being exported. */
export interface Tracing {
  begin(spec: SpanSpec & { at?: Date | undefined }): Span
  /** Runs work with the span active: what it begins and calls are its children. */
  inside<T>(span: Span, work: () => T): T
  /** The active span's context. */
  carrier(): Carrier | undefined
  /** Whether requests of this path are left out, as health checks are. */
  ignores(path: string): boolean
  /** Sends what is left, for at most a few seconds. */
  stop(): Promise<void>
}

let current: Tracing | undefined

/** Where spans go, or undefined while traces are off: then callers do nothing more. */
export const tracing = (): Tracing | undefined => current

/** Sets where spans go from now on. For the start of the process and for tests. */
export function setTracing(to: Tracing | undefined): void {
  current = to
}

/** The trace that work is asked for in, as a part of what is stored for work that comes later; empty without traces. */
export function traceOfNow(): { trace?: Carrier } {
  const trace = current?.carrier()
  return trace ? { trace } : {}
}

/**
 * Runs work in a span that ends with it; without traces just runs it. `told` makes of an error what the span may say:
 * where secrets could be in it, it takes them out.
 */
export async function inSpan<T>(
  spec: SpanSpec,
  work: (span: Span | undefined) => Promise<T>,
  told: (err: unknown) => unknown = (err) => err,
): Promise<T> {
  const to = current
  if (!to) return await work(undefined)
  const span = to.begin(spec)
  try {
    return await to.inside(span, () => work(span))
  } catch (err) {
    span.fail(told(err))
    throw err
  } finally {
    span.end()
  }
}
