// SPDX-License-Identifier: Apache-2.0
import { endAction } from '../engine/recorder.ts'
import type { RailResult, Stage } from '../engine/types.ts'
import { fromPython } from '../regex/python.ts'
import { actionValue } from './judge.ts'
import { ALLOW, INCOMING, OUTGOING, type RailKind } from './types.ts'

type Source = 'input' | 'output' | 'retrieval'

/** Blocks text, or takes chunks away, in which one of the configuration's patterns occurs. */
function regexRail(source: Source, stages: readonly Stage[]): RailKind {
  const action = 'detect_regex_pattern'
  return {
    name: `regex check ${source}`,
    stages,
    action,
    usesModel: false,
    transforms: source === 'retrieval',
    prepare({ data, services }) {
      const options = data.rails?.config?.regex_detection?.[source]
      const given = options?.patterns ?? []
      const patterns = given.map((pattern) => {
        try {
          return fromPython(pattern, options?.case_insensitive ?? false)
        } catch (err) {
          throw new Error(
            `the pattern "${pattern}" is not usable: ${err instanceof Error ? err.message : err}`,
          )
        }
      })
      return async ({ text, log }) => {
        const record = log.action(action, { source })
        const found = patterns.length ? await services.regex.test(patterns, text) : []
        const metadata = { is_match: found.length > 0, detections: found.map((i) => given[i] ?? ''), source }
        const result: RailResult = found.length === 0 ? ALLOW : blockedOrCleared(source, metadata)
        endAction(record, actionValue({ ...result, metadata }))
        return result
      }
    },
  }
}

function blockedOrCleared(source: Source, metadata: Record<string, unknown>): RailResult {
  return source === 'retrieval'
    ? { decision: 'transform', text: '', metadata }
    : { decision: 'block', metadata }
}

export const regexRails: RailKind[] = [
  regexRail('input', INCOMING),
  regexRail('output', OUTGOING),
  regexRail('retrieval', ['retrieval']),
]
