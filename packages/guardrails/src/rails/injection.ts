// SPDX-License-Identifier: Apache-2.0
import { endAction } from '../engine/recorder.ts'
import type { RailResult } from '../engine/types.ts'
import { INJECTION_KINDS } from './injection-rules.ts'
import { actionValue } from './judge.ts'
import { ALLOW, INCOMING, OUTGOING, type RailKind } from './types.ts'

/** Finds code, SQL, templates and scripts in text that a program may go on to execute. */
export const injectionRail: RailKind = {
  name: 'injection detection',
  stages: [...OUTGOING, ...INCOMING],
  action: 'injection_detection',
  usesModel: false,
  transforms: true,
  prepare({ data, services: { regex } }) {
    const options = data.rails?.config?.injection_detection
    if (options?.yara_path || Object.keys(options?.yara_rules ?? {}).length)
      throw new Error('YARA rules (yara_path, yara_rules) are not supported; use injections, or regex rails')
    const kinds = options?.injections ?? [...INJECTION_KINDS]
    const omits = options?.action === 'omit'
    return async ({ text, log }) => {
      const record = log.action('injection_detection', { injections: kinds })
      const detections = await regex.injections(kinds, text)
      const metadata = { is_injection: detections.length > 0, detections }
      const result = await decide({
        detections,
        omits,
        metadata,
        omit: () => regex.withoutInjections(kinds, text),
      })
      endAction(record, actionValue({ ...result, metadata }))
      return result
    }
  },
}

async function decide(on: {
  detections: string[]
  omits: boolean
  metadata: Record<string, unknown>
  omit: () => Promise<string>
}): Promise<RailResult> {
  const { detections, omits, metadata } = on
  if (detections.length === 0) return ALLOW
  if (omits) return { decision: 'transform', text: await on.omit(), metadata }
  const message = `I'm sorry, the answer was held back: it triggered the injection rules for ${detections.join(', ')}.`
  return { decision: 'block', message, reason: `found ${detections.join(', ')}`, metadata }
}
