// SPDX-License-Identifier: Apache-2.0

/** Counts requests in work, and refuses those beyond `most`. */
export interface Places {
  /** Takes a place, given back by what it returns; undefined when all are taken. */
  enter(): (() => void) | undefined
}

export function createPlaces(most: number): Places {
  let inside = 0
  return {
    enter: () => {
      if (inside >= most) return undefined
      inside++
      return () => {
        inside--
      }
    },
  }
}
