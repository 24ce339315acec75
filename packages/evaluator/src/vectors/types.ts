// SPDX-License-Identifier: Apache-2.0

/** A vector with the id of what it stands for. */
export interface Entry {
  id: string
  vector: readonly number[]
}

/** A found entry; `score` is the cosine of its angle to what was looked for, -1..1. */
export interface Found {
  id: string
  score: number
}

/** Vectors of one collection, searched by cosine. */
export interface VectorIndex {
  /** Ids are unique in an index; all vectors have the dimensions of the first. */
  add(entries: readonly Entry[]): Promise<void>
  /** The `k` nearest, nearest first. */
  search(vector: readonly number[], k: number): Promise<Found[]>
  /** Removes the collection and lets go of the store. */
  close(): Promise<void>
}
