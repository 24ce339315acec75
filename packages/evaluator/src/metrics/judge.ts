// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { type EvaluationModel, evaluationModel } from '@open-nemo/contract/evaluation/schemas.ts'
import { chatBody } from '../kinds/custom/prompt.ts'
import type { CheckContext, RunContext, ScoreValue } from '../kinds/types.ts'
import { parseScore, type ScoreSpec, scoreSpecs } from './judge-scores.ts'
import type { Metric } from './types.ts'

type Params = Record<string, unknown>

const DEFAULT_MAX_TOKENS = 1024
const DEFAULT_RETRIES = 3

/** Refuses a judge that could not judge. */
export async function checkJudge(params: Params, where: string, ctx: CheckContext): Promise<void> {
  const bad = (reason: string) => errors.CONFIG_INVALID({ where, reason, field: where })
  const model = evaluationModel.safeParse(params.model)
  if (!model.success) throw bad('params.model must be a model, or the name of one')
  await ctx.model(model.data, `${where}.params.model`)
  if (params.template == null) throw bad('params.template is missing: the prompt for the judge')
  await ctx.template(params.template, `${where}.params.template`)
  const specs = scoreSpecs(params.scores)
  if (typeof specs === 'string') throw bad(specs)
  for (const { name, parser } of specs) {
    if (parser.type !== 'regex') continue
    await ctx.pattern(parser.pattern, `${where}.params.scores.${name}.parser.pattern`)
  }
}

/** A metric whose scores are what a model says. An answer without a readable score gives null; no answer fails the sample. */
export async function createJudge(params: Params, ctx: RunContext): Promise<Metric> {
  const specs = scoreSpecs(params.scores)
  if (typeof specs === 'string') throw new Error(specs)
  const inference = (params.inference_params ?? {}) as Params
  const setting = (...names: string[]) => numberIn([params, inference], names)
  const model = await ctx.model(params.model as EvaluationModel, {
    parallelism: setting('parallelism', 'workers', 'max_workers') ?? ctx.parallelism,
    requestTimeout: setting('request_timeout', 'timeout'),
    maxRetries: setting('max_retries', 'retries') ?? DEFAULT_RETRIES,
  })
  const schema = params.structured_output ?? params.json_schema
  const base: Params = {
    max_tokens: setting('max_tokens', 'max_new_tokens') ?? DEFAULT_MAX_TOKENS,
    ...pick(inference, ['temperature', 'top_p', 'stop', 'seed']),
    ...(schema ? { response_format: responseFormat(schema) } : {}),
  }
  return {
    async score({ context }) {
      const body = { ...base, ...(await chatBody(params.template, context, ctx.templates)) }
      const { text } = await model.chat(body)
      const scores: Record<string, ScoreValue> = {}
      for (const spec of specs) scores[spec.name] = await parseScore(spec, text, ctx.templates)
      return { scores, shown: { judge: text } }
    },
  }
}

export type { ScoreSpec }

function numberIn(sources: Params[], names: string[]): number | undefined {
  for (const source of sources) {
    for (const name of names) if (typeof source[name] === 'number') return source[name]
  }
  return undefined
}

function pick(source: Params, names: string[]): Params {
  return Object.fromEntries(names.filter((name) => source[name] != null).map((name) => [name, source[name]]))
}

/** A JSON schema, alone or in the wrapping of the OpenAI API. */
function responseFormat(given: unknown): unknown {
  const one = given as { type?: unknown; schema?: unknown; name?: unknown }
  if (one.type === 'json_schema' || one.type === 'json_object') return one
  const schema = one.schema ?? one
  return { type: 'json_schema', json_schema: { name: 'judgement', schema, strict: true } }
}
