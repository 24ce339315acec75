// SPDX-License-Identifier: Apache-2.0
import { hallucinationRail } from './hallucination.ts'
import { injectionRail } from './injection.ts'
import { jailbreakRails } from './jailbreak.ts'
import { judgedRails } from './judged.ts'
import { regexRails } from './regex.ts'
import { sensitiveRails } from './sensitive/index.ts'
import type { RailKind } from './types.ts'

/** All rails that come with the engine. */
export const RAIL_KINDS: readonly RailKind[] = [
  ...judgedRails,
  hallucinationRail,
  ...jailbreakRails,
  injectionRail,
  ...sensitiveRails,
  ...regexRails,
]

/** Rails of the toolkit that need a service of a vendor, so that their names are not called unknown. */
const VENDOR_RAILS =
  /^(?:activefence|ai defense|autoalign|clavata|cleanlab|crowdstrike|f5|fiddler|gcpnlp|gliner|guardrailsai|hf classifier|pangea|patronus|policyai|polygraf|protect (?:prompt|response)|detect pii|mask pii|trend ai|alignscore|context bloat)\b/

/** A flow as configurations list it, taken apart: `content safety check input $model=content_safety`. */
export interface FlowReference {
  name: string
  params: Record<string, string>
}

/** Takes a listed flow apart; values may be quoted. */
export function parseFlow(flow: string): FlowReference {
  const params: Record<string, string> = {}
  const name = flow
    .replace(/\$(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))/g, (_, key: string, a, b, c) => {
      params[key] = a ?? b ?? c ?? ''
      return ''
    })
    .replace(/\s+/g, ' ')
    .trim()
  return { name, params }
}

/** The rail of a flow's name, or undefined. */
export function railKind(name: string): RailKind | undefined {
  return RAIL_KINDS.find((kind) => kind.name === name)
}

/** Why there is no rail of this name. */
export function unknownRail(name: string): string {
  if (VENDOR_RAILS.test(name)) return `the rail "${name}" needs a service that is not supported`
  const words = new Set(name.split(' '))
  const shared = (kind: RailKind) => kind.name.split(' ').filter((w) => words.has(w)).length
  const [near] = [...RAIL_KINDS].sort((a, b) => shared(b) - shared(a))
  const hint = near && shared(near) > 1 ? `; did you mean "${near.name}"?` : ''
  return `there is no rail and no flow "${name}"${hint}`
}
