// SPDX-License-Identifier: Apache-2.0
import type { MetricResult, Score } from '@open-nemo/contract/evaluation/results.ts'
import type { SampleRecord, ScoreValue } from '../kinds/types.ts'

/** Gathers the values of one score. */
export interface Accumulator {
  add(value: ScoreValue): void
  score(): Score
}

/** A score's mean over its samples, with the statistics of the API. Values that could not be told are only counted. */
export function createAccumulator(): Accumulator {
  let [count, missing, sum, squares] = [0, 0, 0, 0]
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  // Welford's way keeps the variance exact where sums of squares would not.
  let [mean, deviations] = [0, 0]
  return {
    add(value) {
      if (value === null || Number.isNaN(value)) {
        missing++
        return
      }
      count++
      sum += value
      squares += value * value
      min = Math.min(min, value)
      max = Math.max(max, value)
      const before = mean
      mean += (value - mean) / count
      deviations += (value - before) * (value - mean)
    },
    score() {
      if (count === 0) return { value: null, stats: { count: 0, nan_count: missing } }
      const variance = Math.max(0, deviations / count)
      const stddev = Math.sqrt(variance)
      const average = sum / count
      return {
        value: average,
        stats: {
          count,
          sum,
          sum_squared: squares,
          min,
          max,
          mean: average,
          variance,
          stddev,
          stderr: stddev / Math.sqrt(count),
          nan_count: missing,
        },
      }
    },
  }
}

/** The mean of every score of every metric over a task's samples; those that failed are left out. */
export async function summarizeScores(
  records: AsyncIterable<SampleRecord>,
  onRecord?: (record: SampleRecord) => void,
): Promise<Record<string, MetricResult>> {
  const metrics = new Map<string, Map<string, Accumulator>>()
  for await (const record of records) {
    if (record.error !== null) continue
    for (const [metric, scores] of Object.entries(record.scores)) {
      const known = metrics.get(metric) ?? new Map<string, Accumulator>()
      metrics.set(metric, known)
      for (const [name, value] of Object.entries(scores)) {
        const accumulator = known.get(name) ?? createAccumulator()
        known.set(name, accumulator)
        accumulator.add(value)
      }
    }
    onRecord?.(record)
  }
  return Object.fromEntries(
    [...metrics].map(([metric, scores]) => [
      metric,
      { scores: Object.fromEntries([...scores].map(([name, accumulator]) => [name, accumulator.score()])) },
    ]),
  )
}
