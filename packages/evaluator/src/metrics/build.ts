// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { MetricConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import type { CheckContext, RunContext } from '../kinds/types.ts'
import type { TemplateEngine } from '../templates/types.ts'
import { type BleuStats, bleuStats, corpusBleu, sentenceBleu } from './bleu.ts'
import { type Check, parseNumberCheck, parseStringCheck } from './checks.ts'
import { checkJudge, createJudge } from './judge.ts'
import { rouge } from './rouge.ts'
import { accuracy, exactMatch, tokenF1 } from './text.ts'
import { compareToolCalls, parseToolCalls, toolCallsOf } from './tool-calls.ts'
import type { Metric, MetricInput } from './types.ts'

type Params = Record<string, unknown>

/** Spellings of each metric's type; the first is the one of the API. */
const TYPES: Record<string, string[]> = {
  'string-check': ['string-check', 'string_check'],
  'number-check': ['number-check', 'number_check'],
  'exact-match': ['exact-match', 'exact_match', 'em'],
  f1: ['f1', 'f1-score', 'f1_score'],
  bleu: ['bleu', 'bleu_score'],
  rouge: ['rouge', 'rouge_score'],
  accuracy: ['accuracy'],
  'tool-calling': ['tool-calling', 'tool_calling', 'tool-calling-accuracy'],
  'llm-judge': ['llm-judge', 'llm_judge', 'llm-as-a-judge'],
}
export const METRIC_TYPES = Object.keys(TYPES)

/** A metric's type as the API spells it; undefined when it is none. */
export function metricType(type: string): string | undefined {
  return METRIC_TYPES.find((name) => TYPES[name]?.includes(type.toLowerCase()))
}

/** Fields of a metric's params that are templates. */
const TEMPLATES = [
  'candidate',
  'prediction',
  'reference',
  'ground_truth',
  'references',
  'tool_calls_ground_truth',
]

/** Refuses a metric that could not be computed. `where` names it, as in `tasks.qa.metrics.bleu`. */
export async function checkMetric(config: MetricConfig, where: string, ctx: CheckContext): Promise<void> {
  const type = metricType(config.type)
  const params = config.params ?? {}
  const bad = (reason: string) => errors.CONFIG_INVALID({ where, reason, field: where })
  if (!type) {
    const [, task = '', , metric = ''] = where.split('.')
    throw errors.UNSUPPORTED_METRIC({ metric, task, type: config.type, known: METRIC_TYPES.join(', ') })
  }
  if (type === 'string-check' || type === 'number-check') {
    const check = checkOf(type, params)
    if (typeof check === 'string') throw bad(check)
    await ctx.template([check.left, check.right], `${where}.params.check`)
  } else if (type === 'tool-calling') {
    if (!params.tool_calls_ground_truth && !params.reference)
      throw bad('params.tool_calls_ground_truth is missing')
  } else if (type === 'llm-judge') {
    await checkJudge(params, where, ctx)
  } else if (referencesOf(params).length === 0) {
    throw bad(type === 'bleu' ? 'params.references is missing' : 'params.ground_truth is missing')
  }
  for (const field of TEMPLATES)
    if (params[field] != null) await ctx.template(params[field], `${where}.params.${field}`)
}

/** A checked metric, ready to score. */
export async function buildMetric(config: MetricConfig, ctx: RunContext): Promise<Metric> {
  const type = metricType(config.type) ?? config.type
  const params = config.params ?? {}
  const { templates } = ctx
  switch (type) {
    case 'string-check':
    case 'number-check':
      return checkMetricOf(type, params, templates)
    case 'tool-calling':
      return toolCalling(params, templates)
    case 'llm-judge':
      return await createJudge(params, ctx)
    case 'bleu':
      return bleuMetric(params, templates)
    case 'rouge':
      return textMetric(params, templates, rouge)
    case 'f1':
      return textMetric(params, templates, (reference, candidate) => ({
        f1_score: tokenF1(reference, candidate),
      }))
    case 'exact-match':
      return textMetric(params, templates, (reference, candidate) => ({
        em_score: exactMatch(reference, candidate),
      }))
    default:
      return textMetric(params, templates, (reference, candidate) => ({
        accuracy: accuracy(reference, candidate),
      }))
  }
}

function checkOf(type: string, params: Params): Check | string {
  return type === 'string-check' ? parseStringCheck(params.check) : parseNumberCheck(params.check)
}

function checkMetricOf(type: string, params: Params, templates: TemplateEngine): Metric {
  const check = checkOf(type, params)
  if (typeof check === 'string') throw new Error(check)
  return {
    async score({ context }) {
      const left = await templates.render(check.left, context)
      const right = await templates.render(check.right, context)
      return {
        scores: { [type]: check.compare(left, right, check.epsilon) },
        shown: { candidate: left, reference: right },
      }
    },
  }
}

/** References as given: one template, or several. */
export function referencesOf(params: Params): string[] {
  const given = params.references ?? params.reference ?? params.ground_truth
  return [given].flat().filter((one): one is string => typeof one === 'string' && one !== '')
}

async function candidateOf(params: Params, templates: TemplateEngine, input: MetricInput): Promise<string> {
  const template = params.candidate ?? params.prediction
  return typeof template === 'string' ? await templates.render(template, input.context) : input.output
}

/** A metric of two texts. Of several references the best one counts, score by score. */
function textMetric(
  params: Params,
  templates: TemplateEngine,
  compare: (reference: string, candidate: string) => Record<string, number>,
): Metric {
  const references = referencesOf(params)
  return {
    async score(input) {
      const candidate = await candidateOf(params, templates, input)
      const rendered = await renderEach(references, templates, input)
      const all = rendered.map((reference) => compare(reference, candidate))
      const names = Object.keys(all[0] ?? {})
      const scores = Object.fromEntries(
        names.map((name) => [name, Math.max(...all.map((one) => one[name] ?? 0))]),
      )
      return { scores, shown: { candidate, reference: rendered.join('\n') } }
    },
  }
}

function bleuMetric(params: Params, templates: TemplateEngine): Metric {
  const references = referencesOf(params)
  return {
    async score(input) {
      const candidate = await candidateOf(params, templates, input)
      const rendered = await renderEach(references, templates, input)
      const stats = bleuStats(candidate, rendered)
      return {
        scores: { sentence: sentenceBleu(stats) },
        data: stats,
        shown: { candidate, reference: rendered.join('\n') },
      }
    },
    corpus: (data) => ({ corpus: corpusBleu(data as BleuStats[]) }),
  }
}

function toolCalling(params: Params, templates: TemplateEngine): Metric {
  const truth = String(params.tool_calls_ground_truth ?? params.reference)
  const candidate = params.candidate ?? params.prediction
  return {
    async score({ context, toolCalls }) {
      const reference = await templates.render(truth, context)
      const given =
        typeof candidate === 'string' ? parseToolCalls(await templates.render(candidate, context)) : toolCalls
      const shown = { candidate: given ? JSON.stringify(given) : 'unreadable', reference }
      return { scores: compareToolCalls(parseToolCalls(reference), given), shown }
    },
  }
}

/** Each reference rendered; one that renders to a JSON list of texts stands for all of them. */
async function renderEach(
  references: string[],
  templates: TemplateEngine,
  input: MetricInput,
): Promise<string[]> {
  const out: string[] = []
  for (const template of references) {
    const text = await templates.render(template, input.context)
    out.push(...(listIn(text) ?? [text]))
  }
  return out
}

function listIn(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    const isTexts = Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')
    return isTexts ? (value as string[]) : undefined
  } catch {
    return undefined
  }
}

/** Tool calls of a model's answer, or those in a row of recorded outputs. */
export function toolCallsIn(sample: Record<string, unknown>): MetricInput['toolCalls'] {
  return toolCallsOf(sample.tool_calls ?? null)
}
