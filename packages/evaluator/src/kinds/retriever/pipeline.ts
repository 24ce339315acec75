// SPDX-License-Identifier: Apache-2.0
import type { RetrieverPipeline } from '@open-nemo/contract/evaluation/schemas.ts'
import type { ModelClient } from '../../model/types.ts'
import type { VectorIndex } from '../../vectors/types.ts'
import type { RunContext } from '../types.ts'
import type { BeirSet, Passage } from './beir.ts'
import { rank } from './metrics.ts'

const BATCH = 32

/** Finds passages for queries: embeds, searches, and ranks again where the pipeline has a reranker. */
export class Retriever {
  private readonly ctx: RunContext
  private readonly pipeline: RetrieverPipeline
  private readonly passages = new Map<string, Passage>()
  private index: VectorIndex | undefined
  private query: ModelClient | undefined
  private reranker: ModelClient | undefined

  constructor(ctx: RunContext, pipeline: RetrieverPipeline) {
    this.ctx = ctx
    this.pipeline = pipeline
  }

  /** Embeds a collection's passages. A job that goes on after a restart does this again: vectors are not kept. */
  async prepare(set: BeirSet, task: string): Promise<void> {
    const { ctx, pipeline } = this
    this.query = await ctx.model(pipeline.query_embedding_model)
    if (pipeline.reranker_model) this.reranker = await ctx.model(pipeline.reranker_model)
    const embedder = await ctx.model(pipeline.index_embedding_model)
    this.index = await ctx.openIndex(task)
    let batch: Passage[] = []
    const flush = async () => {
      if (batch.length === 0) return
      const vectors = await embedder.embed(batch.map(passageText), 'passage')
      await this.index?.add(batch.map(({ id }, at) => ({ id, vector: vectors[at] ?? [] })))
      batch = []
    }
    for await (const passage of set.corpus()) {
      ctx.signal.throwIfAborted()
      if (passage.id === '') throw new Error('corpus.jsonl: a passage has no _id')
      if (this.passages.has(passage.id))
        throw new Error(`corpus.jsonl: two passages have the _id ${passage.id}`)
      this.passages.set(passage.id, passage)
      batch.push(passage)
      if (batch.length === BATCH) await flush()
    }
    await flush()
    ctx.log(`indexed ${this.passages.size} passages`, task)
  }

  /** The `depth` best passages for a query, best first. */
  async find(query: string, depth: number): Promise<Passage[]> {
    if (!this.index || !this.query) throw new Error('the index is not there yet')
    const [vector = []] = await this.query.embed([query], 'query')
    const found = await this.index.search(vector, depth)
    const scores = new Map(found.map(({ id, score }) => [id, score]))
    const ids = this.reranker ? await this.rerank(this.reranker, query, [...scores.keys()]) : rank(scores)
    return ids.flatMap((id) => this.passages.get(id) ?? [])
  }

  async close(): Promise<void> {
    await this.index?.close()
    this.passages.clear()
  }

  private async rerank(reranker: ModelClient, query: string, ids: string[]): Promise<string[]> {
    if (ids.length === 0) return ids
    const passages = ids.map((id) => ({
      text: passageText(this.passages.get(id) ?? { id, title: '', text: '' }),
    }))
    const answer = await reranker.post('ranking', { query: { text: query }, passages, truncate: 'END' })
    const rankings = Array.isArray(answer.rankings) ? answer.rankings : []
    const scores = new Map<string, number>()
    for (const { index, logit } of rankings as { index?: unknown; logit?: unknown }[]) {
      const id = ids[Number(index)]
      if (id !== undefined) scores.set(id, Number(logit))
    }
    if (scores.size !== ids.length)
      throw new Error(`the reranker ranked ${scores.size} of ${ids.length} passages`)
    return rank(scores)
  }
}

/** A passage as it is embedded, with its title before the text, as BEIR's own models do. */
export const passageText = ({ title, text }: Passage) => (title === '' ? text : `${title} ${text}`)
