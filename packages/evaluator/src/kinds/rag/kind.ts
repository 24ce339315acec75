// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type {
  EvaluationDataset,
  RagTarget,
  TargetSpec,
  TaskConfig,
} from '@open-nemo/contract/evaluation/schemas.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import type { ModelClient } from '../../model/types.ts'
import { checkJudge, createJudge, judgeEmbeddingsOf } from '../judge/judge.ts'
import { openBeir } from '../retriever/beir.ts'
import { checkBeirTask, checkPipeline, depthOf, groupByOldNames } from '../retriever/kind.ts'
import {
  type Judgements,
  parseRankMeasure,
  RANK_MEASURES,
  type RankMeasure,
  rankScore,
} from '../retriever/metrics.ts'
import { passageText, Retriever } from '../retriever/pipeline.ts'
import type {
  CheckContext,
  EvaluationKind,
  EvaluationTask,
  Row,
  RunContext,
  Sample,
  SampleResult,
} from '../types.ts'
import { type Answered, type JudgeTools, RAG_ALIASES, RAG_METRICS } from './metrics.ts'

const CACHED_TYPES = new Set(['ragas', 'rag', 'custom', 'beir'])
const KNOWN = `${Object.keys(RAG_METRICS).join(', ')}, ${RANK_MEASURES}`

/** Retrieval-augmented generation: a retriever and a model, or their cached outputs, judged by a model. */
export const ragKind: EvaluationKind = {
  name: 'rag',
  types: ['rag'],
  handles: (type) => type === 'rag',
  async check({ target, config }, ctx) {
    const rag = ragOf(target)
    if (!rag.pipeline && !rag.cached_outputs && !rag.dataset) {
      throw errors.UNSUPPORTED_TARGET({
        target: target.type,
        what: 'evaluations of type rag',
        known: 'rag, with a pipeline or cached_outputs, or dataset',
      })
    }
    const tasks = Object.entries(config.tasks ?? {})
    if (tasks.length === 0) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is none' })
    await checkTarget(ctx, rag)
    for (const [name, task] of tasks) await checkTask(ctx, rag, name, task)
  },
  tasks: async (ctx) =>
    Object.entries(ctx.request.config.tasks ?? {}).map(([name, task]) => {
      const rag = ragOf(ctx.request.target)
      return rag.pipeline
        ? pipelineTask(ctx, rag.pipeline, name, task)
        : cachedTask(ctx, cachedSet(rag, task), name, task)
    }),
  groups: (tasks) => groupByOldNames(tasks),
}

/** What is evaluated; a data set as the target holds answers that were given before. */
function ragOf({ type, rag, dataset, cached_outputs }: TargetSpec): RagTarget {
  if (type === 'dataset') return { dataset }
  if (type === 'cached_outputs') return { cached_outputs }
  return (type === 'rag' && rag) || {}
}

async function checkTarget(ctx: CheckContext, rag: RagTarget): Promise<void> {
  if (!rag.pipeline) return
  const retriever = rag.pipeline.retriever.pipeline
  if (!retriever)
    throw errors.TARGET_INVALID({ where: 'target.rag.pipeline.retriever', reason: 'it has no pipeline' })
  await checkPipeline(ctx, retriever, 'target.rag.pipeline.retriever.pipeline')
  await ctx.model(rag.pipeline.model, 'target.rag.pipeline.model')
}

async function checkTask(ctx: CheckContext, rag: RagTarget, name: string, task: TaskConfig): Promise<void> {
  const { judged, measures } = metricsOf(name, task)
  if (judged.length > 0) await checkJudge(ctx, name, task)
  if (judged.some((one) => RAG_METRICS[one.metric]?.needsEmbeddings)) {
    await ctx.model(judgeEmbeddingsOf(name, task), `tasks.${name}.params.judge_embeddings`)
  }
  if (rag.pipeline) {
    await checkBeirTask(ctx, name, task, metricsOf)
    return
  }
  if (measures.length > 0) {
    const [first] = measures
    throw errors.CONFIG_INVALID({
      where: `tasks.${name}.metrics`,
      reason: `${first?.name} needs a retriever pipeline, and the target has cached outputs`,
    })
  }
  if (!CACHED_TYPES.has(task.type)) {
    throw errors.UNSUPPORTED_TASK({
      task: name,
      type: task.type,
      reason: 'it is not a type that is known',
      known: 'beir, ragas',
    })
  }
  await ctx.dataset(cachedSet(rag, task), 'target.rag.cached_outputs')
}

interface Metrics {
  /** As named in the config, and the judge's metric it is. */
  judged: { name: string; metric: string }[]
  measures: RankMeasure[]
}

function metricsOf(task: string, { metrics }: TaskConfig): Metrics {
  const found: Metrics = { judged: [], measures: [] }
  for (const [name, { type }] of Object.entries(metrics ?? {})) {
    const plain = type.replace(/^(?:rag|ragas)\./, '')
    const metric = RAG_ALIASES[plain] ?? plain
    const measure = parseRankMeasure(plain)
    if (Object.hasOwn(RAG_METRICS, metric)) found.judged.push({ name: plain, metric })
    else if (measure) found.measures.push(measure)
    else throw errors.UNSUPPORTED_METRIC({ metric: name, task, type, known: KNOWN })
  }
  if (found.judged.length + found.measures.length === 0) {
    throw errors.CONFIG_INVALID({
      where: `tasks.${task}.metrics`,
      reason: `there is none; known are ${KNOWN}`,
    })
  }
  return found
}

function cachedSet(rag: RagTarget, task: TaskConfig): EvaluationDataset {
  return rag.cached_outputs ?? rag.dataset ?? task.dataset ?? ''
}

/** Judges answers; one judge serves all samples of a task. */
class Scorer {
  private readonly ctx: RunContext
  private readonly name: string
  private readonly task: TaskConfig
  readonly metrics: Metrics
  private tools: JudgeTools | undefined

  constructor(ctx: RunContext, name: string, task: TaskConfig) {
    this.ctx = ctx
    this.name = name
    this.task = task
    this.metrics = metricsOf(name, task)
  }

  async prepare(): Promise<void> {
    if (this.metrics.judged.length === 0) return
    const wanted = this.metrics.judged.some(({ metric }) => RAG_METRICS[metric]?.needsEmbeddings)
    const embedder = wanted ? await this.ctx.model(judgeEmbeddingsOf(this.name, this.task)) : undefined
    this.tools = {
      judge: await createJudge(this.ctx, this.name, this.task),
      embed: (texts) => embedder?.embed(texts, 'query') ?? Promise.reject(new Error('no embedding model')),
    }
  }

  async score(sample: Answered): Promise<SampleResult> {
    const scores: SampleResult['scores'] = {}
    for (const { name, metric } of this.metrics.judged) {
      const judged = RAG_METRICS[metric]
      if (!judged || !this.tools) continue
      if (judged.needsReference && sample.reference === undefined)
        throw new Error(`${name} needs the right answer (reference or ground_truth)`)
      if (judged.needsContexts && sample.contexts.length === 0)
        throw new Error(`${name} needs contexts, and the sample has none`)
      scores[`rag.${name}`] = { [name]: await judged.score(sample, this.tools) }
    }
    const { question, answer, contexts, reference } = sample
    return {
      scores,
      shown: {
        input: question,
        output: answer,
        contexts: contexts.join('\n---\n'),
        ...(reference !== undefined && { reference }),
      },
    }
  }
}

function cachedTask(
  ctx: RunContext,
  dataset: EvaluationDataset,
  name: string,
  task: TaskConfig,
): EvaluationTask {
  const scorer = new Scorer(ctx, name, task)
  return {
    name,
    prepare: () => scorer.prepare(),
    async *samples() {
      let index = 0
      for await (const item of ctx.rows(dataset)) yield { index: index++, item }
    },
    evaluate: ({ item }) => scorer.score(answeredOf(item)),
    summarize: async (records) => ({ metrics: await summarizeScores(records) }),
  }
}

/** A row of cached outputs, in the column names of ragas, new and old, and of NeMo's examples. */
function answeredOf(row: Row): Answered {
  const question = firstText(row, ['user_input', 'question', 'query', 'input', 'prompt'])
  const answer = firstText(row, ['response', 'answer', 'output', 'output_text', 'generated_answer'])
  if (question === undefined) throw new Error('the row has no question (user_input or question)')
  if (answer === undefined) throw new Error('the row has no answer (response or answer)')
  const contexts = row.retrieved_contexts ?? row.contexts ?? row.context ?? []
  return {
    question,
    answer,
    contexts: (Array.isArray(contexts) ? contexts : [contexts]).map((one) =>
      typeof one === 'string' ? one : String((one as { text?: unknown })?.text ?? JSON.stringify(one)),
    ),
    reference: firstText(row, [
      'reference',
      'ground_truth',
      'ground_truths',
      'ideal_response',
      'expected_output',
    ]),
  }
}

function firstText(row: Row, names: string[]): string | undefined {
  for (const name of names) {
    const value = Array.isArray(row[name]) ? row[name][0] : row[name]
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  }
  return undefined
}

function pipelineTask(
  ctx: RunContext,
  pipeline: NonNullable<RagTarget['pipeline']>,
  name: string,
  task: TaskConfig,
): EvaluationTask {
  const parts = pipeline.retriever.pipeline
  if (!parts) throw new Error('the retriever has no pipeline')
  const scorer = new Scorer(ctx, name, task)
  const retriever = new Retriever(ctx, parts)
  const judged = new Map<string, Judgements>()
  const depth = depthOf(parts, scorer.metrics.measures)
  const dataset = task.dataset ?? ''
  const last = pipeline.context_ordering === 'asc' || pipeline.context_ordering === 'ascending'
  let model: ModelClient | undefined
  return {
    name,
    async prepare() {
      const set = await openBeir(ctx, dataset)
      for (const [query, judgements] of await set.judgements()) judged.set(query, judgements)
      model = await ctx.model(pipeline.model)
      await scorer.prepare()
      await retriever.prepare(set, name)
    },
    async *samples(): AsyncGenerator<Sample> {
      const set = await openBeir(ctx, dataset)
      let index = 0
      for await (const query of set.queries())
        if (judged.has(query.id)) yield { index: index++, item: { ...query } }
    },
    async evaluate({ item }) {
      const question = String(item.text)
      const passages = await retriever.find(question, depth)
      const contexts = passages.map(passageText)
      const answer = await generate(ctx, model, question, last ? contexts.toReversed() : contexts)
      const reference = firstText(item, ['answer', 'reference', 'ground_truth'])
      const result = await scorer.score({ question, answer, contexts, reference })
      const ranking = passages.map(({ id }) => id)
      for (const measure of scorer.metrics.measures) {
        const value = rankScore(measure, ranking, judged.get(String(item.id)) ?? new Map())
        result.scores[`retriever.${measure.name}`] = { [measure.name]: value }
      }
      return { ...result, data: { ranking } }
    },
    summarize: async (records) => ({ metrics: await summarizeScores(records) }),
    close: () => retriever.close(),
  }
}

async function generate(
  ctx: RunContext,
  model: ModelClient | undefined,
  question: string,
  contexts: string[],
): Promise<string> {
  if (!model) throw new Error('the model is not there yet')
  const { max_tokens, temperature, top_p, stop } = ctx.request.config.params ?? {}
  const settings = Object.entries({ max_tokens, temperature, top_p, stop }).filter(
    ([, value]) => value !== undefined && value !== null,
  )
  const answer = await model.chat({
    messages: [
      {
        role: 'system',
        content:
          'Answer the question from the context alone. If the context does not hold the answer, say so.',
      },
      { role: 'user', content: `Context:\n${contexts.join('\n\n')}\n\nQuestion: ${question}` },
    ],
    ...Object.fromEntries(settings),
  })
  return answer.text
}
