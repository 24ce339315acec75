// SPDX-License-Identifier: Apache-2.0
import type { ApiError } from '@open-nemo/contract'
import { guardrailsErrors as errors } from '@open-nemo/contract/guardrails/errors.ts'

/** A model did not answer, or refused. */
export class ModelError extends Error {
  override name = 'ModelError'
  readonly model: string
  /** HTTP status of the answer; undefined when none came. */
  readonly status: number | undefined
  readonly reason: string

  constructor(args: { model: string; status?: number; reason: string; cause?: unknown }) {
    super(`model ${args.model}: ${args.reason}`, { cause: args.cause })
    this.model = args.model
    this.status = args.status
    this.reason = args.reason
  }

  /** The same as an answer to the caller, for the main model. */
  toApiError(): ApiError {
    const { model, status, reason } = this
    const params = { model, reason }
    if (status === 401 || status === 403) return errors.MODEL_UNAUTHORIZED(params, { cause: this })
    if (status === 404) return errors.MODEL_NOT_FOUND(params, { cause: this })
    if (status === 429 || status === 503)
      return errors.MODEL_BUSY(params, { cause: this }).with({ 'retry-after': '1' })
    if (status !== undefined && status < 500) return errors.MODEL_REFUSED(params, { cause: this })
    return errors.MODEL_UNREACHABLE(params, { cause: this })
  }
}

/** The words of a failed answer, whichever of the usual shapes it has. */
export function refusalText(status: number, body: string): string {
  let text = body
  try {
    const value = JSON.parse(body)
    const said = value?.error?.message ?? value?.error ?? value?.detail ?? value?.message
    text = typeof said === 'string' ? said : body
  } catch {
    // not JSON: the text itself
  }
  return `status ${status}${text.trim() ? `: ${text.trim().slice(0, 500)}` : ''}`
}

/** The words of what fetch threw. */
export function failureText(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  if (!(inner instanceof Error)) return String(inner)
  return inner.message || ('code' in inner ? String(inner.code) : inner.name)
}
