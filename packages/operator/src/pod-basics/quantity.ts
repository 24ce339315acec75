// SPDX-License-Identifier: Apache-2.0

const UNITS: Record<string, number> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
}

/** A quantity such as `10Gi` in bytes (or cores); undefined when it is none. */
export function parseQuantity(quantity: string | number | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/.exec(String(quantity ?? ''))
  return match ? Math.round(Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1)) : undefined
}
