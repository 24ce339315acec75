// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { GroupResult, MetricResult, Score } from '@open-nemo/contract/evaluation/results.ts'
import type { SampleResult, ScoreValue } from '../types.ts'
import { NO_ANSWER, NO_SCORE } from './forwarder.ts'

/** A document with what the model said about it, as the program writes it. */
export interface HarnessSample {
  task: string
  doc_id: number
  doc: Record<string, unknown>
  target: unknown
  arguments: unknown[][]
  resps: unknown
  filters: Record<string, { answers: unknown; scores: Record<string, ScoreValue> }>
}

/** What lm-eval's `simple_evaluate` gave, without the samples. */
export interface HarnessResults {
  results: Record<string, Record<string, unknown>>
  groups: Record<string, Record<string, unknown>>
  group_subtasks: Record<string, string[]>
  'n-samples': Record<string, { original: number; effective: number }>
  [more: string]: unknown
}

/** The samples of a run, one a line. */
export async function* readSamples(path: string): AsyncGenerator<HarnessSample> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    yield JSON.parse(line) as HarnessSample
  }
}

/** A sample as it is recorded. Throws with the reason when the model gave no answer. */
export function sampleResult(sample: HarnessSample): SampleResult {
  const lost = lostAnswer(sample.resps)
  if (lost) throw new Error(lost)
  const scores: SampleResult['scores'] = {}
  const filters = Object.entries(sample.filters)
  for (const [filter, found] of filters) {
    for (const [metric, value] of Object.entries(found.scores)) {
      const known = scores[metric] ?? {}
      scores[metric] = known
      // The first filter is the one that lm-eval ranks first.
      if (!(metric in known)) known[metric] = value
      if (filters.length > 1) known[`${metric}__${filter}`] = value
    }
  }
  const output = filters.map(([filter, { answers }]) => `${filter}: ${shown(answers)}`)
  return {
    scores,
    shown: {
      input: shown(sample.arguments[0]?.[0]),
      output: isGenerated(sample) ? shown(sample.resps) : output.join('\n'),
      reference: shown(sample.target),
    },
    data: {
      task: sample.task,
      answers: Object.fromEntries(filters.map(([name, one]) => [name, one.answers])),
    },
  }
}

const isGenerated = ({ resps }: HarnessSample) =>
  Array.isArray(resps) && typeof [resps].flat(2)[0] === 'string'

function lostAnswer(resps: unknown): string | undefined {
  for (const one of [resps].flat(3)) {
    if (typeof one === 'string' && one.startsWith(NO_ANSWER)) return one.slice(NO_ANSWER.length)
    if (typeof one === 'number' && one <= NO_SCORE / 10) return 'a request for it failed; see the log'
  }
  return undefined
}

function shown(value: unknown): string {
  const flat = Array.isArray(value) && value.length === 1 ? value[0] : value
  if (Array.isArray(flat) && flat.length === 1 && typeof flat[0] === 'string') return flat[0]
  return typeof flat === 'string' ? flat : (JSON.stringify(flat) ?? '')
}

/**
 * The metrics of a task or group from what lm-eval calls `metric,filter` and `metric_stderr,filter`: a score under the
 * metric's own name is the first filter's; where there are more, each has `metric__filter`, and the n-th of all
 * numbers is `<task>-metric_ranking-<n>` too, which earlier releases called it.
 */
export function metricsOf(
  name: string,
  entry: Record<string, unknown>,
  stats: Record<string, MetricResult> = {},
): Record<string, MetricResult> {
  const found = Object.entries(entry)
    .map(([key, value]) => ({ key, value, comma: key.indexOf(',') }))
    .filter(({ comma, value }) => comma > 0 && (typeof value === 'number' || value === null))
    .map(({ key, value, comma }) => ({
      metric: key.slice(0, comma),
      filter: key.slice(comma + 1),
      value: value as number | null,
    }))
  const filters = new Set(found.map(({ filter }) => filter))
  const stderrs = new Map(found.map((one) => [`${one.metric},${one.filter}`, one.value]))
  const metrics: Record<string, { scores: Record<string, Score> }> = {}
  found.forEach(({ metric, filter, value }, i) => {
    const names = filters.size > 1 ? [metric, `${metric}__${filter}`] : [metric]
    const known = metrics[metric] ?? { scores: {} }
    metrics[metric] = known
    const stderr = stderrs.get(`${metric}_stderr,${filter}`)
    for (const score of [...names, `${name}-metric_ranking-${i + 1}`]) {
      if (score in known.scores) continue
      const of = stats[metric]?.scores?.[names.at(-1) ?? metric]
      known.scores[score] = { value, ...withStats(value, stderr, of) }
    }
  })
  return metrics
}

/** Statistics of the samples belong to a score that is their mean; others, such as BLEU, are no mean of anything. */
function withStats(value: number | null, stderr: number | null | undefined, of: Score | undefined) {
  const isMean = value !== null && typeof of?.value === 'number' && Math.abs(of.value - value) < 1e-9
  const stats = { ...(isMean ? of.stats : {}), ...(typeof stderr === 'number' ? { stderr } : {}) }
  return Object.keys(stats).length > 0 ? { stats } : {}
}

/** What a group or tag consists of, with the scores of each part; undefined for a single task. */
export function groupOf(name: string, results: HarnessResults, isTop = true): GroupResult | undefined {
  const listed = results.group_subtasks[name] ?? []
  const all = isTop ? Object.keys(results.results).filter((one) => one !== name) : []
  const parts = listed.length > 0 ? listed : all
  if (parts.length === 0) return undefined
  const groups = Object.fromEntries(
    parts.map((part) => [part, groupOf(part, results, false) ?? { metrics: metricsAt(part, results) }]),
  )
  return { metrics: metricsAt(name, results), groups }
}

function metricsAt(name: string, { results, groups }: HarnessResults): Record<string, MetricResult> {
  return metricsOf(name, groups[name] ?? results[name] ?? {})
}
