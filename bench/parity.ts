// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { bleuStats, corpusBleu, sentenceBleu } from '@open-nemo/evaluator/metrics/bleu.ts'
import { rouge } from '@open-nemo/evaluator/metrics/rouge.ts'
import { pythonWith, ROOT } from './lib.ts'

const LIBRARIES = ['sacrebleu==2.6.0', 'rouge-score==0.1.2']
const CASES = 3000
const PIECES =
  `the a an running flies dying sky conditional generalization happily analogies relational formality electricity
  electrical revival allowance adjustable replacement communism controlled ties agreed sized hopping failing enjoy
  news proceed 3.14 1,000 U.S.A. don't it's e-mail self-made (brackets) [x] {y} "quote" &amp; &lt;b&gt; <skipped>
  naïve café 你好 世界 😀 5-4 a.b 7. .7 !? ; : / @home #tag $5 % 100% x=y ~ ^ \`code\` |`.split(/\s+/)

interface Case {
  candidate: string
  references: string[]
}

interface Theirs {
  rows: Record<string, number>[]
  corpus_bleu: number
}

/** The largest difference between our score and that of the reference library, for every score. */
export async function textParity(): Promise<Record<string, number>> {
  const cases = makeCases()
  const theirs = await ask(cases)
  const differences: Record<string, number> = {}
  const compare = (name: string, ours: number, expected: number) => {
    differences[name] = Math.max(differences[name] ?? 0, Math.abs(ours - expected))
  }
  const all = cases.map(({ candidate, references }) => bleuStats(candidate, references))
  cases.forEach(({ candidate, references }, i) => {
    const stats = all[i]
    if (stats) compare('sentence_bleu', sentenceBleu(stats), theirs.rows[i]?.sentence_bleu ?? Number.NaN)
    for (const [name, value] of Object.entries(rouge(references[0] ?? '', candidate))) {
      compare(name, value, theirs.rows[i]?.[name] ?? Number.NaN)
    }
  })
  compare('corpus_bleu', corpusBleu(all), theirs.corpus_bleu)
  return differences
}

/** The same texts in every run: references of words and marks, candidates that keep some of them. */
function makeCases(): Case[] {
  const next = generator(7)
  const words = (count: number) =>
    Array.from({ length: count }, () => PIECES[Math.floor(next() * PIECES.length)] ?? '')
  return Array.from({ length: CASES }, () => {
    const reference = words(Math.floor(next() * 30))
    const kept = reference.filter(() => next() > 0.3)
    if (next() < 0.5) kept.splice(Math.floor(next() * kept.length), 0, ...words(1))
    const candidate = next() < 0.05 ? '' : kept.join(next() < 0.1 ? '\n' : ' ')
    return { candidate, references: [reference.join(' '), words(10).join(' ')] }
  })
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

async function ask(cases: Case[]): Promise<Theirs> {
  const python = await pythonWith('parity-text', LIBRARIES)
  const child = spawn(python, [join(ROOT, 'bench/python/parity.py')], { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  child.stdin.end(JSON.stringify(cases))
  const answer = await text(child.stdout)
  const [code] = await ended
  if (code !== 0) throw new Error(`bench/python/parity.py ended with ${code}`)
  return JSON.parse(answer) as Theirs
}
