// SPDX-License-Identifier: Apache-2.0

/** A template could not be parsed or rendered, or took more than it may. */
export class TemplateError extends Error {
  override name = 'TemplateError'
}

/** Renders Jinja templates of users: hostile ones are stopped, and only JSON values are within their reach. */
export interface TemplateEngine {
  /** Throws TemplateError when it cannot be parsed. */
  check(template: string): Promise<void>
  render(template: string, context: Record<string, unknown>): Promise<string>
  /** Renders every string in a JSON value; other values stay. */
  renderAll(template: unknown, context: Record<string, unknown>): Promise<unknown>
  /**
   * The first match of a regular expression (Python's or JavaScript's spelling): the whole, then its groups; null
   * when there is none. Throws TemplateError when it cannot be parsed or takes too long.
   */
  match(pattern: string, text: string): Promise<(string | null)[] | null>
  close(): Promise<void>
}
