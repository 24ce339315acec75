// SPDX-License-Identifier: Apache-2.0

/** Relevance of documents to a query; 0 and less, like absence, means not relevant. */
export type Judgements = ReadonlyMap<string, number>

/** A measure of a ranking: its name as written, what it measures and on how many documents; no cut-off means all. */
export interface RankMeasure {
  name: string
  kind: 'recall' | 'precision' | 'ndcg' | 'map' | 'mrr' | 'hit'
  k?: number
}

const SPELLINGS: Record<string, RankMeasure['kind']> = {
  recall: 'recall',
  p: 'precision',
  precision: 'precision',
  ndcg: 'ndcg',
  ndcg_cut: 'ndcg',
  map: 'map',
  map_cut: 'map',
  mrr: 'mrr',
  recip_rank: 'mrr',
  success: 'hit',
  hit: 'hit',
  hit_rate: 'hit',
}
const NEEDS_CUT = new Set<RankMeasure['kind']>(['recall', 'precision', 'hit'])

/** Names of measures, for messages. */
export const RANK_MEASURES =
  'recall_<k>, P_<k>, precision_<k>, ndcg, ndcg_cut_<k>, map, map_cut_<k>, mrr, mrr_<k>, recip_rank'

/** Reads the name of a measure, in trec_eval's spelling or others' (`ndcg_cut_10`, `ndcg@10`, `retriever.recall_5`). */
export function parseRankMeasure(name: string): RankMeasure | undefined {
  const found = /^(?:retriever\.)?(?<what>[a-z_]+?)(?:[_@](?<k>\d{1,5}))?$/i.exec(name)
  const kind = SPELLINGS[found?.groups?.what?.toLowerCase() ?? '']
  const k = found?.groups?.k === undefined ? undefined : Number(found.groups.k)
  if (!kind || k === 0 || (k === undefined && NEEDS_CUT.has(kind))) return undefined
  return { name: name.replace(/^retriever\./, ''), kind, ...(k !== undefined && { k }) }
}

/** The measure of one ranking, 0..1, as trec_eval counts: a query without relevant documents scores 0. */
export function rankScore({ kind, k }: RankMeasure, ranking: readonly string[], judged: Judgements): number {
  const top = k === undefined ? ranking : ranking.slice(0, k)
  const gains = top.map((id) => Math.max(0, judged.get(id) ?? 0))
  const relevant = [...judged.values()].filter((gain) => gain > 0)
  const found = gains.filter((gain) => gain > 0).length
  switch (kind) {
    case 'recall':
      return relevant.length === 0 ? 0 : found / relevant.length
    case 'precision':
      return found / (k ?? (gains.length || 1))
    case 'hit':
      return found > 0 ? 1 : 0
    case 'mrr': {
      const first = gains.findIndex((gain) => gain > 0)
      return first === -1 ? 0 : 1 / (first + 1)
    }
    case 'map':
      return relevant.length === 0 ? 0 : averagePrecision(gains) / relevant.length
    case 'ndcg': {
      const ideal = discounted(relevant.sort((a, b) => b - a).slice(0, k ?? relevant.length))
      return ideal === 0 ? 0 : discounted(gains) / ideal
    }
  }
}

function averagePrecision(gains: readonly number[]): number {
  let [hits, sum] = [0, 0]
  for (const [at, gain] of gains.entries()) {
    if (gain <= 0) continue
    hits += 1
    sum += hits / (at + 1)
  }
  return sum
}

const discounted = (gains: readonly number[]) =>
  gains.reduce((sum, gain, at) => sum + gain / Math.log2(at + 2), 0)

/** Sorts documents as trec_eval does: by score, and equal ones by their id, backwards. */
export function rank(scores: ReadonlyMap<string, number> | Iterable<readonly [string, number]>): string[] {
  return [...scores].sort(([a, x], [b, y]) => y - x || (a < b ? 1 : a > b ? -1 : 0)).map(([id]) => id)
}
