// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseRankMeasure, rank, rankScore } from '@open-nemo/evaluator/kinds/retriever/metrics.ts'
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

const RANKED = 500
const MEASURES = [
  'recall_5',
  'recall_10',
  'P_5',
  'P_10',
  'ndcg_cut_5',
  'ndcg_cut_10',
  'ndcg',
  'map_cut_10',
  'map',
  'recip_rank',
]

/** The same for measures of rankings, with scores that tie, judgements of several grades, and queries without any. */
export async function rankParity(): Promise<Record<string, number>> {
  const { judged, runs } = makeRankings()
  const given = {
    judged,
    runs,
    ask: ['recall', 'P', 'ndcg_cut', 'ndcg', 'map_cut', 'map', 'recip_rank'],
    read: MEASURES,
  }
  const theirs = await askPython<Record<string, Record<string, number>>>(
    'parity-rank',
    ['pytrec-eval-terrier==0.5.11'],
    'rank_parity.py',
    given,
  )
  const differences: Record<string, number> = {}
  for (const [query, scores] of Object.entries(runs)) {
    const ranking = rank(Object.entries(scores))
    const judgements = new Map(Object.entries(judged[query] ?? {}))
    for (const name of MEASURES) {
      const measure = parseRankMeasure(name)
      if (!measure) throw new Error(`no measure ${name}`)
      const difference = Math.abs(
        rankScore(measure, ranking, judgements) - (theirs[query]?.[name] ?? Number.NaN),
      )
      differences[name] = Math.max(differences[name] ?? 0, difference)
    }
  }
  return differences
}

function makeRankings() {
  const next = generator(11)
  const judged: Record<string, Record<string, number>> = {}
  const runs: Record<string, Record<string, number>> = {}
  for (let q = 0; q < RANKED; q++) {
    const documents = Array.from({ length: 40 }, (_, d) => `d${d}`)
    const relevant = documents.filter(() => next() < 0.15)
    // trec_eval leaves out queries that nobody judged: each has one judgement at least.
    judged[`q${q}`] = Object.fromEntries([...relevant, 'd0'].map((id) => [id, Math.floor(next() * 4)]))
    const kept = documents.filter(() => next() < 0.6)
    runs[`q${q}`] = Object.fromEntries(
      (kept.length > 0 ? kept : ['d1']).map((id) => [id, Math.floor(next() * 25) / 25]),
    )
  }
  return { judged, runs }
}

const ask = (cases: Case[]) => askPython<Theirs>('parity-text', LIBRARIES, 'parity.py', cases)

/** What a program of bench/python answers to JSON, with these packages. */
async function askPython<T>(name: string, packages: string[], file: string, given: unknown): Promise<T> {
  const python = await pythonWith(name, packages)
  const child = spawn(python, [join(ROOT, 'bench/python', file)], { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  child.stdin.end(JSON.stringify(given))
  const answer = await text(child.stdout)
  const [code] = await ended
  if (code !== 0) throw new Error(`bench/python/${file} ended with ${code}`)
  return JSON.parse(answer) as T
}
