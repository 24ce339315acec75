// SPDX-License-Identifier: Apache-2.0

/** Parameters that fill the `{placeholders}` of a catalogue entry. `field` names the input at fault. */
export type ErrorParams = Record<string, string | number | boolean | undefined>

/** One entry of the error catalogue: what went wrong, and what the caller changes to mend it. */
export interface ErrorEntry {
  status: number
  message: string
  hint: string
}

/** One item of FastAPI's 422 body: where in the request, and what is wrong there. */
export interface ValidationItem {
  loc: (string | number)[]
  msg: string
  type: string
}

/** An error with a stable code that is shown to API users; the runtime turns it into the wire shape. */
export class ApiError extends Error {
  readonly code: string
  readonly status: number
  readonly hint: string
  readonly param: string | undefined
  readonly headers: Record<string, string> = {}

  constructor(code: string, entry: ErrorEntry, params: ErrorParams = {}, options?: ErrorOptions) {
    super(fill(entry.message, params), options)
    this.name = 'ApiError'
    this.code = code
    this.status = entry.status
    this.hint = fill(entry.hint, params)
    this.param = params.field === undefined ? undefined : String(params.field)
  }

  /** Adds response headers, such as `retry-after`; returns the error itself for `throw err.with(…)`. */
  with(headers: Record<string, string>): this {
    Object.assign(this.headers, headers)
    return this
  }
}

/** A 422 that carries FastAPI's list of items. */
export class ValidationError extends Error {
  readonly status = 422
  readonly items: ValidationItem[]

  constructor(items: ValidationItem[]) {
    super(items.map((i) => `${i.loc.join('.')}: ${i.msg}`).join('; '))
    this.name = 'ValidationError'
    this.items = items
  }
}

/** Shorthand for a single-item 422, for example `invalid(['query', 'page'], 'must be at least 1')`. */
export function invalid(loc: (string | number)[], msg: string, type = 'value_error'): ValidationError {
  return new ValidationError([{ loc, msg, type }])
}

/** The answer of another service or server that was not a success. */
export class UpstreamError extends Error {
  readonly status: number
  readonly url: string
  readonly body: string

  constructor(args: { status: number; url: string; body: string; method?: string }) {
    super(`${args.method ?? 'GET'} ${args.url} answered ${args.status}: ${args.body.slice(0, 500)}`)
    this.name = 'UpstreamError'
    this.status = args.status
    this.url = args.url
    this.body = args.body
  }
}

const catalogue = new Map<string, CatalogueEntry>()

/** An entry as documented. Two services may use one code for the same thing, such as an unknown namespace. */
export interface CatalogueEntry extends ErrorEntry {
  service: string
  code: string
}

/**
 * Registers a service's errors and returns one constructor for each code.
 * Throws at import when the service defines a code twice.
 */
export function defineErrors<const T extends Record<string, ErrorEntry>>(
  service: string,
  entries: T,
): { [K in keyof T]: (params?: ErrorParams, options?: ErrorOptions) => ApiError } {
  const makers = {} as { [K in keyof T]: (params?: ErrorParams, options?: ErrorOptions) => ApiError }
  for (const [code, entry] of Object.entries(entries)) {
    const key = `${service} ${code}`
    if (catalogue.has(key)) throw new Error(`error code ${code} of ${service} is defined twice`)
    catalogue.set(key, { ...entry, service, code })
    makers[code as keyof T] = (params, options) => new ApiError(code, entry, params, options)
  }
  return makers
}

/** All errors registered so far; `docs/errors.md` is checked against it. */
export function errorCatalogue(): CatalogueEntry[] {
  return [...catalogue.values()]
}

function fill(template: string, params: ErrorParams): string {
  return template.replace(/\{(\w+)\}/g, (whole, key: string) => {
    const value = params[key]
    return value === undefined ? whole : String(value)
  })
}
