// SPDX-License-Identifier: Apache-2.0

/** A seeded generator: the same seed gives the same run of choices. */
export function createRandom(seed: number) {
  let state = seed >>> 0
  const next = (): number => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return {
    next,
    /** A whole number of `from` to `to`, both included. */
    integer,
    pick: <T>(list: readonly T[]): T => list[integer(0, list.length - 1)] as T,
    bytes: (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => integer(0, 255))),
  }
}

export type Random = ReturnType<typeof createRandom>
