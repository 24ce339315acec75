// SPDX-License-Identifier: Apache-2.0

const MAX_EVENT = 16 * 1024 * 1024

/** The `data:` of server-sent events, without the final `[DONE]`. */
export async function* eventData(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  if (!body) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    if (rest.length > MAX_EVENT) throw new Error('an event of the stream is too long')
    const lines = rest.split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const data = dataOf(line)
      if (data === '[DONE]') return
      if (data) yield data
    }
  }
  const data = dataOf(rest)
  if (data && data !== '[DONE]') yield data
}

function dataOf(line: string): string | undefined {
  return line.startsWith('data:') ? line.slice(5).trim() : undefined
}
