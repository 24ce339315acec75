// SPDX-License-Identifier: Apache-2.0
import type { ScoreValue } from '../kinds/types.ts'
import type { ToolCall } from './tool-calls.ts'

/** What a metric looks at: a row, and what the model (or the file) gave for it. */
export interface MetricInput {
  /** What templates see: the row's and the sample's fields, and both as `item` and `sample`. */
  context: Record<string, unknown>
  /** The output under test. */
  output: string
  /** Tool calls in the output; undefined when they cannot be read. */
  toolCalls: ToolCall[] | undefined
}

/** What a metric says of one sample. */
export interface MetricOutput {
  scores: Record<string, ScoreValue>
  /** Kept with the sample for `corpus`. */
  data?: unknown
  /** Shown in the report, such as the reference, or what a judge said. */
  shown?: Record<string, string>
}

/** A metric made ready for one run. */
export interface Metric {
  score(input: MetricInput): Promise<MetricOutput>
  /** Scores over all samples together, from what `score` gave as `data`. */
  corpus?(data: unknown[]): Record<string, number>
}
