// SPDX-License-Identifier: Apache-2.0

export interface ToolCall {
  name: string
  /** Undefined when they are not JSON. */
  args: unknown
}

/** Tool calls in OpenAI's form, or flat `{name, arguments}`; undefined when it is neither. */
export function toolCallsOf(value: unknown): ToolCall[] | undefined {
  if (value === null || value === undefined) return []
  if (!Array.isArray(value)) return typeof value === 'object' ? toolCallsOf([value]) : undefined
  const calls: ToolCall[] = []
  for (const one of value) {
    const call = (one?.function ?? one) as { name?: unknown; arguments?: unknown; args?: unknown } | null
    if (typeof call?.name !== 'string') return undefined
    calls.push({ name: call.name, args: parseArguments(call.arguments ?? call.args ?? {}) })
  }
  return calls
}

/** Tool calls in a text that should be JSON. */
export function parseToolCalls(text: string): ToolCall[] | undefined {
  if (text.trim() === '') return []
  try {
    return toolCallsOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

/**
 * Whether the right functions were called, and called with the right arguments. Order does not count, case does.
 * Arguments that are not JSON cannot be compared: null.
 */
export function compareToolCalls(
  wanted: ToolCall[] | undefined,
  given: ToolCall[] | undefined,
): { function_name_accuracy: number | null; function_name_and_args_accuracy: number | null } {
  if (!wanted || !given) return { function_name_accuracy: null, function_name_and_args_accuracy: null }
  const names = (calls: ToolCall[]) => [...new Set(calls.map((call) => call.name))].sort().join('\n')
  const hasNames = names(wanted) === names(given)
  const isReadable = [...wanted, ...given].every((call) => call.args !== undefined)
  const whole = (calls: ToolCall[]) =>
    calls
      .map((call) => `${call.name} ${canonical(call.args)}`)
      .sort()
      .join('\n')
  return {
    function_name_accuracy: hasNames ? 1 : 0,
    function_name_and_args_accuracy: isReadable ? (whole(wanted) === whole(given) ? 1 : 0) : null,
  }
}

function parseArguments(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (value.trim() === '') return {}
  try {
    return JSON.parse(value)
  } catch {
    return undefined
  }
}

/** JSON whose keys are in order, so that equal values are equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`
}
