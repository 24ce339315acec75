// SPDX-License-Identifier: Apache-2.0

const UNITS: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
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

/** The number that a quantity of Kubernetes means, such as 0.5 for `500m`; NaN when it is none. */
export function quantity(value: string | number | undefined): number {
  const [, digits = '', unit = ''] = /^\s*([\d.]+(?:e\d+)?)\s*([a-zA-Z]*)\s*$/.exec(String(value ?? '')) ?? []
  const factor = UNITS[unit]
  return digits && factor !== undefined ? Number(digits) * factor : Number.NaN
}

/** A quantity such as `10Gi` as a whole number, in bytes; undefined when it is none. */
export function wholeQuantity(value: string | number | undefined): number | undefined {
  const number = Math.round(quantity(value))
  return Number.isNaN(number) ? undefined : number
}
