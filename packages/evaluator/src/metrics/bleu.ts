// SPDX-License-Identifier: Apache-2.0

const MAX_ORDER = 4
/** What Python's str.split() takes for white space: more than JavaScript's, and not the byte order mark. */
const SPACES = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`
const SPACE = new RegExp(`[${SPACES}]+`)

/** What a sentence adds to the corpus: lengths of candidate and reference, matched and total n-grams of each order. */
export interface BleuStats {
  candidate: number
  reference: number
  correct: number[]
  total: number[]
}

/** The statistics of one candidate against its references, as sacrebleu counts them with its tokenizer 13a. */
export function bleuStats(candidate: string, references: string[]): BleuStats {
  const tokens = tokenize(candidate)
  const wanted = new Map<string, number>()
  let length = -1
  for (const reference of references) {
    const words = tokenize(reference)
    if (length < 0 || isCloser(words.length, length, tokens.length)) length = words.length
    for (const [ngram, count] of countNgrams(words))
      wanted.set(ngram, Math.max(wanted.get(ngram) ?? 0, count))
  }
  const correct = new Array<number>(MAX_ORDER).fill(0)
  for (const [ngram, count] of countNgrams(tokens)) {
    const order = Number(ngram[0]) - 1
    correct[order] = (correct[order] ?? 0) + Math.min(count, wanted.get(ngram) ?? 0)
  }
  const total = correct.map((_, i) => Math.max(0, tokens.length - i))
  return { candidate: tokens.length, reference: Math.max(0, length), correct, total }
}

/** Of references as far away, the shorter one counts. */
function isCloser(one: number, other: number, to: number): boolean {
  const difference = Math.abs(to - one) - Math.abs(to - other)
  return difference < 0 || (difference === 0 && one < other)
}

/** sacrebleu's sentence_bleu, from 0 to 100. */
export function sentenceBleu(stats: BleuStats): number {
  return bleuOf(stats, true)
}

/** sacrebleu's corpus_bleu of all sentences, from 0 to 100. */
export function corpusBleu(all: Iterable<BleuStats>): number {
  const sum: BleuStats = { candidate: 0, reference: 0, correct: [0, 0, 0, 0], total: [0, 0, 0, 0] }
  for (const stats of all) {
    sum.candidate += stats.candidate
    sum.reference += stats.reference
    sum.correct = sum.correct.map((value, i) => value + (stats.correct[i] ?? 0))
    sum.total = sum.total.map((value, i) => value + (stats.total[i] ?? 0))
  }
  return bleuOf(sum, false)
}

/** Orders without a match count as ever smaller fractions of a match; for a sentence, orders it is too short for are left out. */
function bleuOf({ candidate, reference, correct, total }: BleuStats, isSentence: boolean): number {
  if (correct.every((count) => count === 0)) return 0
  const brevity = candidate < reference ? Math.exp(1 - reference / candidate) : 1
  let smoothing = 1
  let order = isSentence ? 0 : MAX_ORDER
  let logs = 0
  for (let i = 0; i < MAX_ORDER; i++) {
    const all = total[i] ?? 0
    // Over a corpus, an order without any n-gram makes the score nought.
    if (all === 0) {
      if (!isSentence) return 0
      break
    }
    if (isSentence) order = i + 1
    const hits = correct[i] ?? 0
    if (hits === 0) smoothing *= 2
    logs += Math.log(hits === 0 ? 100 / (smoothing * all) : (100 * hits) / all)
  }
  return brevity * Math.exp(logs / order)
}

/** N-grams of orders 1 to 4 with their counts; each begins with the digit of its order. */
function countNgrams(tokens: string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < tokens.length; i++) {
    let ngram = ''
    for (let n = 1; n <= MAX_ORDER && i + n <= tokens.length; n++) {
      ngram += ` ${tokens[i + n - 1]}`
      const key = n + ngram
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
  }
  return counts
}

/** The tokenizer of mteval-v13a. */
function tokenize(text: string): string[] {
  let line = trimEnd(text).replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ')
  if (line.includes('&')) {
    line = line
      .replaceAll('&quot;', '"')
      .replaceAll('&amp;', '&')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
  }
  return ` ${line} `
    .replace(/([{-~[-` -&(-+:-@/])/g, ' $1 ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .split(SPACE)
    .filter((token) => token !== '')
}

function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && SPACE.test(text[end - 1] as string)) end--
  return text.slice(0, end)
}
