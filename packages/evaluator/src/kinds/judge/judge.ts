// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationModel, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import type { z } from 'zod'
import type { ModelClient } from '../../model/types.ts'
import type { CheckContext, RunContext } from '../types.ts'

type Params = Record<string, unknown>

const MAX_TOKENS = 1024
const RETRIES = 3

/** The judge of a task's parameters: `judge_llm`, `judge.model`, or `judge` itself. Throws CONFIG_INVALID. */
export function judgeModelOf(name: string, task: TaskConfig): EvaluationModel {
  const params = (task.params ?? {}) as Params
  const judge = params.judge as Params | string | undefined
  const nested = typeof judge === 'object' && judge !== null ? (judge.model ?? judge) : judge
  const given = params.judge_llm ?? params.judge_model ?? nested
  if (isModel(given)) return given
  const reason =
    'its metrics need a judge: give params.judge_llm with an api_endpoint, or the name of a model'
  throw errors.CONFIG_INVALID({ where: `tasks.${name}.params`, reason })
}

/** The embedding model beside the judge, which some metrics need. Throws CONFIG_INVALID. */
export function judgeEmbeddingsOf(name: string, task: TaskConfig): EvaluationModel {
  const given = task.params?.judge_embeddings ?? task.params?.judge_embedding_model
  if (isModel(given)) return given
  const reason =
    'its metrics need embeddings: give params.judge_embeddings with an api_endpoint, or the name of a model'
  throw errors.CONFIG_INVALID({ where: `tasks.${name}.params`, reason })
}

function isModel(value: unknown): value is EvaluationModel {
  if (typeof value === 'string') return value !== ''
  if (typeof value !== 'object' || value === null) return false
  return ['api_endpoint', 'name', 'url'].some((key) => key in value)
}

/** That the judge of a task can be found. */
export const checkJudge = (ctx: CheckContext, name: string, task: TaskConfig) =>
  ctx.model(judgeModelOf(name, task), `tasks.${name}.params.judge_llm`)

/** Asks a model for judgements in JSON. */
export interface Judge {
  /** Asks until the answer fits the schema, at most `judge_max_retries` times more. Throws what was wrong with the last. */
  ask<T>(question: string, schema: z.ZodType<T>): Promise<T>
  /** Asks for plain text. */
  say(question: string): Promise<string>
}

/**
 * The judge of a task, with its settings: timeout, max_retries, max_workers, max_tokens, temperature, top_p, as
 * `judge_*` parameters or under `judge.inference_params`.
 */
export async function createJudge(ctx: RunContext, name: string, task: TaskConfig): Promise<Judge> {
  const params = (task.params ?? {}) as Params
  const nested = ((params.judge as Params | undefined)?.inference_params ?? {}) as Params
  const number = (...keys: string[]) => {
    const given = [...keys.map((key) => params[key]), ...keys.map((key) => nested[key.replace(PREFIX, '')])]
    return given.find((value) => typeof value === 'number') as number | undefined
  }
  const maxRetries = number('judge_max_retries')
  const client = await ctx.model(judgeModelOf(name, task), {
    parallelism: number('judge_max_workers', 'judge_parallelism'),
    requestTimeout: number('judge_timeout', 'judge_request_timeout'),
    maxRetries,
  })
  const topP = number('judge_llm_top_p', 'judge_top_p')
  const settings = {
    temperature: number('judge_llm_temperature', 'judge_temperature') ?? 0,
    max_tokens: number('judge_llm_max_tokens', 'judge_max_tokens', 'judge_max_new_tokens') ?? MAX_TOKENS,
    ...(topP !== undefined && { top_p: topP }),
  }
  return judgeOn(client, settings, maxRetries ?? RETRIES)
}

const PREFIX = /^judge_(llm_)?/

function judgeOn(client: ModelClient, settings: Params, retries: number): Judge {
  const say = async (question: string) => {
    const answer = await client.chat({ messages: [{ role: 'user', content: question }], ...settings })
    return answer.text
  }
  return {
    say,
    async ask(question, schema) {
      let problem = ''
      for (let attempt = 0; attempt <= retries; attempt++) {
        const reminder =
          problem === ''
            ? ''
            : `\n\nYour last answer could not be read (${problem}). Answer with the JSON alone.`
        const answer = await say(question + reminder)
        const parsed = schema.safeParse(firstJson(answer))
        if (parsed.success) return parsed.data
        const [issue] = parsed.error.issues
        problem = `${issue?.path.join('.') || 'JSON'}: ${issue?.message ?? 'not understood'}`
      }
      throw new Error(`the judge's answer could not be read after ${retries + 1} tries: ${problem}`)
    },
  }
}

/** The first JSON object or array in a text; undefined when there is none. */
export function firstJson(text: string): unknown {
  for (let start = text.search(/[[{]/); start !== -1; start = nextStart(text, start)) {
    const end = endOfJson(text, start)
    if (end === undefined) continue
    try {
      return JSON.parse(text.slice(start, end))
    } catch {
      // A bracket of prose; what follows may be JSON.
    }
  }
  return undefined
}

function nextStart(text: string, start: number): number {
  const next = text.slice(start + 1).search(/[[{]/)
  return next === -1 ? -1 : start + 1 + next
}

function endOfJson(text: string, start: number): number | undefined {
  let depth = 0
  let quoted = false
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (quoted && char === '\\') at++
    else if (char === '"') quoted = !quoted
    else if (!quoted && (char === '{' || char === '[')) depth++
    else if (!quoted && (char === '}' || char === ']') && --depth === 0) return at + 1
  }
  return undefined
}
