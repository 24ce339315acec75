// SPDX-License-Identifier: Apache-2.0
import type { SensitiveDataConfig } from '@open-nemo/contract/guardrails/config-data.ts'
import type { NerEntity, RailCall } from '../../engine/compiled.ts'
import { endAction } from '../../engine/recorder.ts'
import type { RailResult, Stage } from '../../engine/types.ts'
import { postJson } from '../../models/client.ts'
import { fromPython, type Pattern } from '../../regex/python.ts'
import { actionValue, JudgeError } from '../judge.ts'
import { ALLOW, INCOMING, OUTGOING, type Preparation, type RailKind } from '../types.ts'
import { masked, withoutOverlaps } from './detect.ts'
import { NAME_ENTITIES } from './names.ts'
import { PATTERN_ENTITIES } from './recognizers.ts'

type Source = 'input' | 'output' | 'retrieval'

const DEFAULT_THRESHOLD = 0.2

interface Detector {
  find(call: RailCall): Promise<NerEntity[]>
}

function rail(verb: 'detect' | 'mask', source: Source, stages: readonly Stage[]): RailKind {
  const action = `${verb}_sensitive_data`
  return {
    name: `${verb} sensitive data on ${source}`,
    stages,
    action,
    usesModel: false,
    transforms: verb === 'mask' || source === 'retrieval',
    prepare(on) {
      const detector = makeDetector(on, source)
      return async (call) => {
        const record = call.log.action(action, { source })
        const found = await detector.find(call)
        const entities = [...new Set(found.map((f) => f.entity_type))]
        const metadata = { entities }
        const result = found.length === 0 ? ALLOW : decide(verb, source, call.text, found)
        endAction(record, actionValue({ ...result, metadata }))
        return { ...result, metadata }
      }
    },
  }
}

function decide(verb: 'detect' | 'mask', source: Source, text: string, found: NerEntity[]): RailResult {
  if (verb === 'mask') return { decision: 'transform', text: masked(text, found) }
  const reason = `found ${[...new Set(found.map((f) => f.entity_type))].join(', ')}`
  // Chunks with sensitive data are an answer that is not to be given.
  return { decision: 'block', botIntent: 'inform answer unknown', reason: `${reason} in the ${source}` }
}

function makeDetector({ data, services }: Preparation, source: Source): Detector {
  const config = data.rails?.config?.sensitive_data_detection ?? {}
  const options = config[source]
  const entities = options?.entities ?? []
  const threshold = options?.score_threshold ?? DEFAULT_THRESHOLD
  const own = ownRecognizers(config)
  for (const entity of entities) {
    if (PATTERN_ENTITIES.includes(entity) || own.some((r) => r.entity === entity) || config.ner_endpoint)
      continue
    if (NAME_ENTITIES.includes(entity) || services.ner) continue
    throw new Error(
      `the entity "${entity}" is not known; there are ${[...PATTERN_ENTITIES, ...NAME_ENTITIES].join(', ')}, ` +
        'those of recognizers, and any that a ner_endpoint finds',
    )
  }
  const names = entities.filter((e) => !PATTERN_ENTITIES.includes(e))
  // Word lists stand in for a NER where there is none.
  const hasNer = services.ner !== undefined || Boolean(config.ner_endpoint)
  const listed = hasNer ? entities.filter((e) => PATTERN_ENTITIES.includes(e)) : entities
  const wanted = own.filter((r) => entities.includes(r.entity))
  return {
    async find(call) {
      const { text } = call
      const found = await services.regex.entities(listed, threshold, text)
      if (wanted.length) {
        const places = await services.regex.find(
          wanted.map((r) => r.pattern),
          text,
        )
        for (const [i, start, end] of places) {
          const { entity = '', score = 0 } = wanted[i] ?? {}
          if (score >= threshold) found.push({ entity_type: entity, start, end, score })
        }
      }
      if (names.length)
        found.push(...(await findByNer(call, config, names)).filter((f) => f.score >= threshold))
      return withoutOverlaps(found)
    },
  }
}

function ownRecognizers(config: SensitiveDataConfig): { entity: string; pattern: Pattern; score: number }[] {
  return (config.recognizers ?? []).flatMap(({ supported_entity: entity, patterns, deny_list }) => [
    ...(patterns ?? []).map(({ regex, score }) => {
      try {
        return { entity, pattern: fromPython(regex), score: score ?? 0.5 }
      } catch (err) {
        throw new Error(`the pattern "${regex}" is not usable: ${err instanceof Error ? err.message : err}`)
      }
    }),
    ...(deny_list?.length ? [{ entity, pattern: wordPattern(deny_list), score: 1 }] : []),
  ])
}

function wordPattern(words: string[]): Pattern {
  const escaped = words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return { source: `(?<!\\w)(?:${escaped.join('|')})(?!\\w)`, flags: '' }
}

async function findByNer(
  call: RailCall,
  config: SensitiveDataConfig,
  entities: string[],
): Promise<NerEntity[]> {
  const { text, signal, turn } = call
  const { ner, fetch } = turn.services
  if (ner) return ner(text, entities, signal)
  if (!config.ner_endpoint) return []
  const response = await postJson({
    url: config.ner_endpoint,
    model: 'ner_endpoint',
    body: { text, entities },
    key: undefined,
    signal,
    fetch,
  })
  const said: unknown = await response.json().catch(() => undefined)
  const list = Array.isArray(said) ? said : (said as { entities?: unknown })?.entities
  if (!Array.isArray(list)) throw new JudgeError('ner_endpoint answers without a list of entities')
  return list
    .filter(
      (e): e is NerEntity =>
        Number.isInteger(e?.start) &&
        Number.isInteger(e?.end) &&
        entities.includes(e?.entity_type) &&
        e.start < e.end,
    )
    .map((e) => ({ ...e, score: typeof e.score === 'number' ? e.score : 1 }))
}

export const sensitiveRails: RailKind[] = (['detect', 'mask'] as const).flatMap((verb) => [
  rail(verb, 'input', INCOMING),
  rail(verb, 'output', OUTGOING),
  rail(verb, 'retrieval', ['retrieval']),
])
