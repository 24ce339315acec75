// SPDX-License-Identifier: Apache-2.0
import type { Operation } from './drivers.ts'
import { inventory } from './inventory.ts'

export interface Score {
  service: string
  /** Operations of the inventory that worked in everything that was tried with them. */
  passed: string[]
  /** Operations that the platform refused with a reason, and nothing else failed with them. */
  refused: string[]
  failed: string[]
  untried: string[]
  /** Size of the inventory. */
  total: number
}

/** The score of each service of the inventory that was tried, in the order of the inventory. Unknown endpoints throw: a typo hides a gap. */
export function scores(operations: Operation[]): Score[] {
  const services = new Set(operations.map((one) => one.service))
  return Object.entries(inventory)
    .filter(([service]) => services.has(service))
    .map(([service, endpoints]) => {
      const mine = operations.filter((one) => one.service === service)
      for (const endpoint of mine.flatMap((one) => one.endpoints)) {
        if (!endpoints.includes(endpoint)) throw new Error(`${service} has no ${endpoint}`)
      }
      const score: Score = {
        service,
        passed: [],
        refused: [],
        failed: [],
        untried: [],
        total: endpoints.length,
      }
      for (const endpoint of endpoints) score[verdict(endpoint, mine)].push(endpoint)
      return score
    })
}

function verdict(endpoint: string, operations: Operation[]): 'passed' | 'refused' | 'failed' | 'untried' {
  const tries = operations.filter((one) => one.endpoints.includes(endpoint))
  if (tries.length === 0) return 'untried'
  if (tries.some((one) => !one.ok)) return 'failed'
  return tries.every((one) => one.refused) ? 'refused' : 'passed'
}
