// SPDX-License-Identifier: Apache-2.0

/** A pattern as JavaScript takes it. */
export interface Pattern {
  source: string
  flags: string
}

/**
 * Translates a pattern of Python's `re`, which configurations are written in: inline flags at the start, named
 * groups, `\A` and `\Z`. Throws with the reason when JavaScript cannot have it.
 */
export function fromPython(pattern: string, caseInsensitive = false): Pattern {
  let source = pattern
  let flags = caseInsensitive ? 'i' : ''
  const inline = /^\(\?([aiLmsux]+)\)/.exec(source)
  if (inline) {
    source = source.slice(inline[0].length)
    for (const flag of inline[1] ?? '') {
      if (flag === 'x') throw new Error('verbose patterns, (?x), are not supported')
      if ('ims'.includes(flag) && !flags.includes(flag)) flags += flag
    }
  }
  source = source
    .replace(/\(\?P<(\w+)>/g, '(?<$1>')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replace(/(\\*)\\([AZ])/g, (whole, before: string, anchor: string) =>
      before.length % 2 ? whole : `${before}${anchor === 'A' ? '(?<![\\s\\S])' : '(?![\\s\\S])'}`,
    )
  if (/\(\?\(/.test(source)) throw new Error('conditional groups are not supported')
  new RegExp(source, flags)
  return { source, flags }
}
