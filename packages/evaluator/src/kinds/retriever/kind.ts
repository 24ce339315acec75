// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { GroupResult, MetricResult, TaskResult } from '@open-nemo/contract/evaluation/results.ts'
import type { RetrieverPipeline, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import type { CheckContext, EvaluationKind, EvaluationTask, RunContext } from '../types.ts'
import { builtInFolder, isBuiltIn, openBeir } from './beir.ts'
import { parseRankMeasure, RANK_MEASURES, type RankMeasure, rankScore } from './metrics.ts'
import { Retriever } from './pipeline.ts'

const DEFAULT_MEASURES = ['recall_5', 'ndcg_cut_5', 'recall_10', 'ndcg_cut_10']
const DEFAULT_DEPTH = 10
const TASK_TYPES = new Set(['beir', 'retriever', 'custom'])

/** Retrieval: an embedding model, an index and a reranker measured on a collection in BEIR's form. */
export const retrieverKind: EvaluationKind = {
  name: 'retriever',
  types: ['retriever'],
  handles: (type) => type === 'retriever',
  async check({ target, config }, ctx) {
    const pipeline = target.retriever?.pipeline
    if (target.type !== 'retriever' || !pipeline) {
      throw errors.UNSUPPORTED_TARGET({
        target: target.type,
        what: 'evaluations of type retriever',
        known: 'retriever, with a pipeline',
      })
    }
    const tasks = Object.entries(config.tasks ?? {})
    if (tasks.length === 0) throw errors.CONFIG_INVALID({ where: 'tasks', reason: 'there is none' })
    await checkPipeline(ctx, pipeline, 'target.retriever.pipeline')
    for (const [name, task] of tasks) await checkBeirTask(ctx, name, task, measuresOf)
  },
  tasks: async (ctx) =>
    Object.entries(ctx.request.config.tasks ?? {}).map(([name, task]) => retrieverTask(ctx, name, task)),
  groups: (tasks) => groupByOldNames(tasks),
}

/** That the models of a pipeline can be found. */
export async function checkPipeline(
  ctx: CheckContext,
  pipeline: RetrieverPipeline,
  where: string,
): Promise<void> {
  await ctx.model(pipeline.query_embedding_model, `${where}.query_embedding_model`)
  await ctx.model(pipeline.index_embedding_model, `${where}.index_embedding_model`)
  if (pipeline.reranker_model) await ctx.model(pipeline.reranker_model, `${where}.reranker_model`)
}

/** That a task names a collection that is there, and only known metrics. */
export async function checkBeirTask(
  ctx: CheckContext,
  name: string,
  task: TaskConfig,
  metrics: (name: string, task: TaskConfig) => unknown,
): Promise<void> {
  if (!TASK_TYPES.has(task.type)) {
    throw errors.UNSUPPORTED_TASK({
      task: name,
      type: task.type,
      reason: 'it is not a type that is known',
      known: 'beir',
    })
  }
  if (!task.dataset) throw errors.CONFIG_INVALID({ where: `tasks.${name}.dataset`, reason: 'there is none' })
  metrics(name, task)
  const url = typeof task.dataset === 'string' ? task.dataset : task.dataset.files_url
  if (isBuiltIn(task.dataset)) await builtInFolder(url, ctx.settings.datasetsDir)
  else await ctx.dataset(task.dataset, `tasks.${name}.dataset`)
}

/** The measures that a task asks for, by the type of each metric; the common ones when it asks for none. */
export function measuresOf(name: string, task: TaskConfig): RankMeasure[] {
  const asked = Object.entries(task.metrics ?? {})
  if (asked.length === 0) return DEFAULT_MEASURES.map((one) => known(one))
  return asked.map(([metric, { type, params }]) => {
    const k = params?.k ?? params?.top_k
    const measure = parseRankMeasure(type) ?? parseRankMeasure(`${type}_${k ?? 'none'}`)
    if (measure) return measure
    throw errors.UNSUPPORTED_METRIC({ metric, task: name, type, known: RANK_MEASURES })
  })
}

function known(name: string): RankMeasure {
  const measure = parseRankMeasure(name)
  if (!measure) throw new Error(`no measure ${name}`)
  return measure
}

/** How many passages have to be found so that all measures can be told; a pipeline's own top_k goes before. */
export function depthOf(pipeline: RetrieverPipeline, measures: readonly RankMeasure[]): number {
  return pipeline.top_k ?? Math.max(DEFAULT_DEPTH, ...measures.map(({ k }) => k ?? 0))
}

function retrieverTask(ctx: RunContext, name: string, task: TaskConfig): EvaluationTask {
  const pipeline = ctx.request.target.retriever?.pipeline as RetrieverPipeline
  const measures = measuresOf(name, task)
  const retriever = new Retriever(ctx, pipeline)
  const depth = depthOf(pipeline, measures)
  const dataset = task.dataset ?? ''
  const judged = new Map<string, ReadonlyMap<string, number>>()
  return {
    name,
    async prepare() {
      const set = await openBeir(ctx, dataset)
      for (const [query, judgements] of await set.judgements()) judged.set(query, judgements)
      await retriever.prepare(set, name)
    },
    async *samples() {
      const set = await openBeir(ctx, dataset)
      let index = 0
      for await (const query of set.queries()) {
        // As in BEIR, only queries that somebody judged count.
        if (judged.has(query.id)) yield { index: index++, item: { ...query } }
      }
    },
    async evaluate({ item }) {
      const passages = await retriever.find(String(item.text), depth)
      const judgements = judged.get(String(item.id)) ?? new Map()
      const ranking = passages.map(({ id }) => id)
      return {
        scores: Object.fromEntries(
          measures.map((one) => [
            `retriever.${one.name}`,
            { [one.name]: rankScore(one, ranking, judgements) },
          ]),
        ),
        shown: {
          input: String(item.text),
          output: passages
            .slice(0, 3)
            .map((one) => `${one.id}: ${one.title || one.text.slice(0, 120)}`)
            .join('\n'),
          reference: [...judgements]
            .filter(([, gain]) => gain > 0)
            .map(([id]) => id)
            .join(', '),
        },
        data: { ranking },
      }
    },
    summarize: async (records) => ({ metrics: await summarizeScores(records) }),
    close: () => retriever.close(),
  }
}

/** The first task's scores under the names that releases before 25.12 gave them. */
export function groupByOldNames(tasks: Record<string, TaskResult>): Record<string, GroupResult> {
  const [first] = Object.values(tasks)
  const scores: NonNullable<MetricResult['scores']> = {}
  for (const metric of Object.values(first?.metrics ?? {})) Object.assign(scores, metric.scores)
  return { evaluation: { metrics: { evaluation: { scores } } } }
}
