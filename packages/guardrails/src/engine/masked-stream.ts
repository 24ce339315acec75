// SPDX-License-Identifier: Apache-2.0
import { type Chunk, textOf, withChunkText } from './chunk.ts'
import type { Rail, Turn } from './compiled.ts'
import { type Block, runRails } from './run-rails.ts'
import type { StreamEvent } from './stream.ts'

/** Characters that wait for what follows, at least: longer than card and account numbers with their spaces. */
const LEAST_HELD = 64

/**
 * Sends an answer that rails may change, as it comes: `chunkSize` chunks at a time are checked with what waits, and
 * sent as the rails leave them up to a place where nothing that they change goes on. What comes after that place, at
 * least `contextSize` chunks, waits for the next check. Nothing is sent before it was checked, whatever `streamFirst` says.
 */
export async function* masked(
  turn: Turn,
  rails: readonly Rail[],
  chunks: AsyncGenerator<Chunk>,
): AsyncGenerator<StreamEvent> {
  const { chunkSize, contextSize } = turn.config.streaming
  const changing = rails.filter((rail) => rail.transforms)
  let waiting: string[] = []
  let fresh = 0
  let last: Chunk | undefined
  const closing: Chunk[] = []
  for await (const chunk of chunks) {
    const text = textOf(chunk)
    // What opens an answer can go ahead, what closes it waits for the text.
    if (text === '' && last === undefined) yield { type: 'chunk', chunk }
    else if (text === '') closing.push(chunk)
    if (text === '') continue
    last = chunk
    waiting.push(text)
    fresh += 1
    if (fresh < chunkSize) continue
    fresh = 0
    const whole = await check(turn, rails, waiting.join(''))
    if (whole.block) return yield { type: 'stopped', block: whole.block }
    const cut = await findCut({ turn, changing, waiting, contextSize, whole: whole.text })
    if (!cut) continue
    yield { type: 'chunk', chunk: withChunkText(last, cut.text) }
    waiting = waiting.slice(cut.at)
  }
  if (last && waiting.length > 0) {
    const { text, block } = await check(turn, rails, waiting.join(''))
    if (block) return yield { type: 'stopped', block }
    yield { type: 'chunk', chunk: withChunkText(last, text) }
  }
  for (const chunk of closing) yield { type: 'chunk', chunk }
}

async function check(
  turn: Turn,
  rails: readonly Rail[],
  text: string,
): Promise<{ text: string; block: Block | undefined }> {
  turn.variables.bot_message = text
  return runRails({ turn, stage: 'output', rails, text })
}

interface Cutting {
  turn: Turn
  changing: readonly Rail[]
  waiting: readonly string[]
  contextSize: number
  /** All that waits, as the rails leave it. */
  whole: string
}

/** How many of the waiting chunks can be sent, and as what: those that the rails change alike with and without the rest. */
async function findCut(on: Cutting): Promise<{ at: number; text: string } | undefined> {
  const { turn, changing, waiting, contextSize, whole } = on
  for (let held = Math.max(contextSize, 1); held < waiting.length; held *= 2) {
    const at = boundary(waiting, waiting.length - held)
    if (at === 0) return undefined
    const before = await check(turn, changing, waiting.slice(0, at).join(''))
    const after = await check(turn, changing, waiting.slice(at).join(''))
    if (!before.block && !after.block && before.text + after.text === whole) return { at, text: before.text }
  }
  return undefined
}

/** The last place up to `at` between two words from which on enough is held; 0 when there is none. */
function boundary(chunks: readonly string[], at: number): number {
  let place = at
  let length = chunks.slice(at).join('').length
  while (
    place > 0 &&
    (length < LEAST_HELD || !isBetweenWords(chunks[place - 1] ?? '', chunks[place] ?? ''))
  ) {
    place -= 1
    length += chunks[place]?.length ?? 0
  }
  return place
}

const isBetweenWords = (before: string, after: string) => /\s$/.test(before) || /^\s/.test(after)
