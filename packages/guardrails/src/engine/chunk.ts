// SPDX-License-Identifier: Apache-2.0

/** A chunk of a streamed answer, in OpenAI's shape. */
export type Chunk = Record<string, unknown>

/** The text that a chunk adds to the answer. */
export function textOf(chunk: Chunk): string {
  const [choice] = (chunk.choices ?? []) as { delta?: { content?: unknown } }[]
  return typeof choice?.delta?.content === 'string' ? choice.delta.content : ''
}

/** The chunk with another text. */
export function withChunkText(chunk: Chunk, content: string): Chunk {
  const [choice, ...rest] = chunk.choices as { delta?: Chunk }[]
  return { ...chunk, choices: [{ ...choice, logprobs: null, delta: { ...choice?.delta, content } }, ...rest] }
}
