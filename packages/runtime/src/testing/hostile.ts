// SPDX-License-Identifier: Apache-2.0

/** A repeatable source of choices for tests: the same seed gives the same ones. */
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

/** Lengths and offsets that break what trusts them. */
const NUMBERS = [0n, 1n, 0x7fn, 0x8000n, 0x7fffffffn, 0xffffffffn, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n]

/** The bytes changed at one to four places: cut, overwritten, repeated, or with a number that no length should have. */
export function damaged(bytes: Uint8Array, random: Random): Buffer {
  let out = Buffer.from(bytes)
  for (let left = random.integer(1, 4); left > 0 && out.length > 0; left--) {
    const at = random.integer(0, out.length - 1)
    const before = out.subarray(0, at)
    const kind = random.integer(0, 5)
    if (kind === 0) out = Buffer.from(before)
    else if (kind === 1) out[at] = random.integer(0, 255)
    else if (kind === 2) out = Buffer.concat([before, random.bytes(random.integer(1, 16)), out.subarray(at)])
    else if (kind === 3) out = Buffer.concat([before, out.subarray(Math.max(0, at - 32))])
    else if (kind === 4) out = Buffer.concat([before, out.subarray(at + random.integer(1, 8))])
    else if (at + 8 <= out.length) out.writeBigUInt64LE(random.pick(NUMBERS), at)
  }
  return out
}
