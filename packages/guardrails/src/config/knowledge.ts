// SPDX-License-Identifier: Apache-2.0

interface Chunk {
  title: string
  text: string
  counts: Map<string, number>
  length: number
}

/** Constants of the BM25 ranking, at their usual values. */
const K1 = 1.2
const B = 0.75
const CHUNKS = 3

const wordsOf = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]{2,}/gu) ?? []

/**
 * Makes the knowledge base of the kb folder: a chunk for each heading, found by its words (BM25). The answer is
 * the text of the best three chunks, '' when none shares a word with the query.
 */
export function createKnowledge(documents: { name: string; text: string }[]): (query: string) => string {
  const chunks = documents.flatMap(({ text }) => split(text))
  if (chunks.length === 0) return () => ''
  const average = chunks.reduce((sum, c) => sum + c.length, 0) / chunks.length
  const holding = new Map<string, number>()
  for (const { counts } of chunks)
    for (const word of counts.keys()) holding.set(word, (holding.get(word) ?? 0) + 1)
  const weight = (word: string) => {
    const n = holding.get(word) ?? 0
    return Math.log(1 + (chunks.length - n + 0.5) / (n + 0.5))
  }
  return (query) => {
    const words = [...new Set(wordsOf(query.slice(0, 10_000)))]
    const scored = chunks.map((chunk) => ({
      chunk,
      score: words.reduce((sum, word) => {
        const n = chunk.counts.get(word) ?? 0
        return sum + (weight(word) * n * (K1 + 1)) / (n + K1 * (1 - B + (B * chunk.length) / average) || 1)
      }, 0),
    }))
    return scored
      .filter((s) => s.score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, CHUNKS)
      .map(({ chunk }) => (chunk.title ? `${chunk.title}\n${chunk.text}` : chunk.text))
      .join('\n\n')
  }
}

function split(document: string): Chunk[] {
  const out: Chunk[] = []
  let title = ''
  let lines: string[] = []
  const flush = () => {
    const text = lines.join('\n').trim()
    lines = []
    if (text === '') return
    const counts = new Map<string, number>()
    const words = wordsOf(`${title} ${text}`)
    for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
    out.push({ title, text, counts, length: words.length })
  }
  for (const line of document.split(/\r?\n/)) {
    const heading = /^#{1,6}\s+(.*)$/.exec(line)
    if (!heading) {
      lines.push(line)
      continue
    }
    flush()
    title = heading[1] ?? ''
  }
  flush()
  return out
}
