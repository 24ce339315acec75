// SPDX-License-Identifier: Apache-2.0

const digitsOf = (text: string) => text.replace(/\D/g, '')

/** The check digit of payment cards. */
export function luhn(text: string): boolean {
  const digits = digitsOf(text)
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    let d = Number(digits[digits.length - 1 - i])
    if (i % 2 === 1) d = d > 4 ? d * 2 - 9 : d * 2
    sum += d
  }
  return digits.length > 0 && sum % 10 === 0
}

/** Lengths of IBANs by country. */
const IBAN_LENGTHS: Record<string, number> = {
  AD: 24,
  AE: 23,
  AL: 28,
  AT: 20,
  AZ: 28,
  BA: 20,
  BE: 16,
  BG: 22,
  BH: 22,
  BR: 29,
  BY: 28,
  CH: 21,
  CR: 22,
  CY: 28,
  CZ: 24,
  DE: 22,
  DK: 18,
  DO: 28,
  EE: 20,
  EG: 29,
  ES: 24,
  FI: 18,
  FO: 18,
  FR: 27,
  GB: 22,
  GE: 22,
  GI: 23,
  GL: 18,
  GR: 27,
  GT: 28,
  HR: 21,
  HU: 28,
  IE: 22,
  IL: 23,
  IS: 26,
  IT: 27,
  JO: 30,
  KW: 30,
  KZ: 20,
  LB: 28,
  LI: 21,
  LT: 20,
  LU: 20,
  LV: 21,
  MC: 27,
  MD: 24,
  ME: 22,
  MK: 19,
  MR: 27,
  MT: 31,
  MU: 30,
  NL: 18,
  NO: 15,
  PK: 24,
  PL: 28,
  PS: 29,
  PT: 25,
  QA: 29,
  RO: 24,
  RS: 22,
  SA: 24,
  SE: 24,
  SI: 19,
  SK: 24,
  SM: 27,
  TN: 24,
  TR: 26,
  UA: 29,
  VG: 24,
  XK: 20,
}

/** The part at the start of a text that has the length of its country's IBANs; '' when it is shorter. */
export function ibanPart(text: string): string {
  const length = IBAN_LENGTHS[text.slice(0, 2).toUpperCase()] ?? Number.POSITIVE_INFINITY
  let seen = 0
  for (let i = 0; i < text.length; i++) {
    if (/[a-z0-9]/i.test(text[i] ?? '')) seen++
    if (seen === length) return /[a-z0-9]/i.test(text[i + 1] ?? '') ? '' : text.slice(0, i + 1)
  }
  return ''
}

/** Country, length and the remainder of 97. */
export function iban(text: string): boolean {
  const value = text.replace(/[\s-]/g, '').toUpperCase()
  if (IBAN_LENGTHS[value.slice(0, 2)] !== value.length) return false
  const moved = value.slice(4) + value.slice(0, 4)
  let remainder = 0
  for (const c of moved) {
    const digits = /[A-Z]/.test(c) ? String(c.charCodeAt(0) - 55) : c
    for (const d of digits) remainder = (remainder * 10 + Number(d)) % 97
  }
  return remainder === 1
}

/** Area, group and serial number as they are given out. */
export function usSsn(text: string): boolean {
  const d = digitsOf(text)
  if (d.length !== 9) return false
  const [area, group, serial] = [d.slice(0, 3), d.slice(3, 5), d.slice(5)]
  if (area === '000' || area === '666' || area >= '900' || group === '00' || serial === '0000') return false
  // numbers of advertisements, and such as 111-11-1111
  return !/^(\d)\1{8}$/.test(d) && d !== '123456789' && d !== '078051120'
}

/** The mod 11 check of the United Kingdom's NHS numbers. */
export function ukNhs(text: string): boolean {
  const d = digitsOf(text)
  if (d.length !== 10 || /^(\d)\1{9}$/.test(d)) return false
  const sum = [...d.slice(0, 9)].reduce((total, c, i) => total + Number(c) * (10 - i), 0)
  const check = 11 - (sum % 11)
  return (check === 11 ? 0 : check) === Number(d[9])
}

/** The letter of a Spanish NIF. */
export function esNif(text: string): boolean {
  const value = text.replace(/[\s-]/g, '').toUpperCase()
  return 'TRWAGMYFPDXBNJZSQVHLCKE'[Number(digitsOf(value)) % 23] === value.at(-1)
}

/** Verhoeff's check, which India's Aadhaar numbers have. */
export function verhoeff(text: string): boolean {
  let check = 0
  for (const [i, c] of [...digitsOf(text)].reverse().entries()) {
    check = multiply(check, permute(i % 8, Number(c)))
  }
  return check === 0
}

// The dihedral group of ten elements.
function multiply(a: number, b: number): number {
  if (a < 5) return b < 5 ? (a + b) % 5 : ((a + b - 5) % 5) + 5
  return b < 5 ? ((a - 5 - b + 5) % 5) + 5 : (a - b + 5) % 5
}

const PERMUTATION = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
function permute(times: number, digit: number): number {
  let out = digit
  for (let i = 0; i < times; i++) out = PERMUTATION[out] ?? 0
  return out
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'

/** A Bitcoin address of the segregated-witness kind, by its polynomial checksum (bech32 and bech32m). */
export function bech32(text: string): boolean {
  const value = text.toLowerCase()
  const at = value.lastIndexOf('1')
  const prefix = value.slice(0, at)
  const data = [...value.slice(at + 1)].map((c) => BECH32.indexOf(c))
  if (at < 1 || data.length < 6 || data.includes(-1)) return false
  const expanded = [
    ...[...prefix].map((c) => c.charCodeAt(0) >> 5),
    0,
    ...[...prefix].map((c) => c.charCodeAt(0) & 31),
  ]
  const sum = polymod([...expanded, ...data])
  return sum === 1 || sum === 0x2bc830a3
}

const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
function polymod(values: number[]): number {
  let sum = 1
  for (const v of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ v
    for (const [i, g] of GENERATORS.entries()) if ((top >>> i) & 1) sum ^= g
  }
  return sum >>> 0
}

/** The payload and checksum of a base58 address; the checksum is of the payload's double SHA-256. */
export function base58Check(text: string, sha256: (bytes: Uint8Array) => Uint8Array): boolean {
  let n = 0n
  for (const c of text) {
    const i = BASE58.indexOf(c)
    if (i < 0) return false
    n = n * 58n + BigInt(i)
  }
  const bytes = new Uint8Array(25)
  for (let i = 24; i >= 0; i--) {
    bytes[i] = Number(n & 255n)
    n >>= 8n
  }
  if (n !== 0n) return false
  const sum = sha256(sha256(bytes.slice(0, 21)))
  return [0, 1, 2, 3].every((i) => sum[i] === bytes[21 + i])
}
