// SPDX-License-Identifier: Apache-2.0
import { ApiError, ValidationError } from '@open-nemo/contract'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'

/** Wire shape of errors: FastAPI's, the Hugging Face Hub's (`error` and headers), or OpenAI's (`error` object). */
export type ErrorStyle = 'fastapi' | 'hub' | 'openai'

/**
 * Turns anything thrown into a response. What is not an ApiError or a ValidationError is a fault of ours:
 * it answers 500 with the request id only, and `unexpected` asks the caller to log it.
 */
export function errorResponse(
  err: unknown,
  style: ErrorStyle,
  requestId: string | undefined,
): { response: Response; unexpected: boolean } {
  if (err instanceof ValidationError) {
    const message = err.message
    // OpenAI's clients read the field at fault from `param`, without where in the request it was.
    const param = err.items[0]?.loc.slice(1).join('.') || undefined
    return { response: render({ status: 422, detail: err.items, message, param, style }), unexpected: false }
  }
  if (err instanceof ApiError) {
    const message = err.hint ? `${err.message}. ${err.hint}` : err.message
    const { status, code, headers, param } = err
    return {
      response: render({ status, detail: message, message, code, headers, param, style }),
      unexpected: false,
    }
  }
  if (isUnstorable(err))
    return errorResponse(platformErrors.UNSTORABLE_TEXT({}, { cause: err }), style, requestId)
  if (isDiskFull(err))
    return errorResponse(platformErrors.DATABASE_FULL({}, { cause: err }), style, requestId)
  const message = `Internal Server Error${requestId ? ` (request ${requestId}; the service's log has the cause)` : ''}`
  return {
    response: render({ status: 500, detail: message, message, code: 'INTERNAL', style }),
    unexpected: true,
  }
}

/** Whether PostgreSQL refused a text of the request: it takes neither U+0000 nor, in JSON, half a surrogate pair. */
function isUnstorable(err: unknown): boolean {
  if (!(err instanceof Error && 'code' in err)) return false
  return (
    err.code === '22021' || err.code === '22P05' || (err.code === '22P02' && /\bjson\b/.test(err.message))
  )
}

/** PostgreSQL's disk_full, or a file of ours that found no room. */
function isDiskFull(err: unknown): boolean {
  return err instanceof Error && 'code' in err && (err.code === '53100' || err.code === 'ENOSPC')
}

interface Rendering {
  status: number
  detail: unknown
  message: string
  code?: string
  param?: string | undefined
  headers?: Record<string, string>
  style: ErrorStyle
}

function render(r: Rendering): Response {
  const headers = new Headers({ 'content-type': 'application/json', ...r.headers })
  // The SDK would send a conflict, or what is not served at all, three times.
  if (r.status === 409 || r.status === 501) headers.set('x-should-retry', 'false')
  const body: Record<string, unknown> = { detail: r.detail }
  if (r.code) body.code = r.code
  if (r.style === 'hub') {
    body.error = r.message
    if (r.code) headers.set('x-error-code', hubCode(r.code))
    headers.set('x-error-message', headerText(r.message))
  }
  if (r.style === 'openai') {
    body.error = {
      message: r.message,
      type: openAiType(r.status),
      param: r.param ?? null,
      code: r.code ?? null,
    }
  }
  return new Response(JSON.stringify(body), { status: r.status, headers })
}

/** The hub's clients know these codes by their own spelling. */
function hubCode(code: string): string {
  const known: Record<string, string> = {
    REPO_NOT_FOUND: 'RepoNotFound',
    REVISION_NOT_FOUND: 'RevisionNotFound',
    ENTRY_NOT_FOUND: 'EntryNotFound',
  }
  return known[code] ?? code
}

function openAiType(status: number): string {
  if (status === 404) return 'not_found_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 1000)
}
