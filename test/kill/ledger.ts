// SPDX-License-Identifier: Apache-2.0

/** Something that the platform acknowledged, or may have done without saying so, and how to see that it is right. */
export interface Entry {
  what: string
  /** What is wrong now, or undefined. */
  check: () => Promise<string | undefined>
}

/** Remembers what was acknowledged, and looks whether it is still there. */
export function createLedger() {
  const entries: Entry[] = []
  let verified = 0

  async function verify(list: Entry[]): Promise<string[]> {
    const problems: string[] = []
    const rest = [...list]
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        for (let entry = rest.pop(); entry; entry = rest.pop()) {
          const { what, check } = entry
          const problem = await check().catch((err: Error) => `cannot be read: ${err.message}`)
          if (problem) problems.push(`${what}: ${problem}`)
        }
      }),
    )
    return problems
  }
  return {
    add: (entry: Entry) => void entries.push(entry),
    get size() {
      return entries.length
    },
    all: () => verify(entries),
    /** Those that came since the last look, and some older ones. */
    async recent(pick: (list: readonly Entry[]) => Entry): Promise<{ looked: number; problems: string[] }> {
      const fresh = entries.slice(verified)
      const older = verified > 0 ? Array.from({ length: 10 }, () => pick(entries.slice(0, verified))) : []
      verified = entries.length
      const list = [...fresh, ...older]
      return { looked: list.length, problems: await verify(list) }
    },
  }
}

export type Ledger = ReturnType<typeof createLedger>
