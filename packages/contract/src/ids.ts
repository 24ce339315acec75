// SPDX-License-Identifier: Apache-2.0
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Base58 (Bitcoin alphabet) of bytes read as one big-endian number; 16 bytes give 21 or 22 characters. */
export function base58(bytes: Uint8Array): string {
  let n = 0n
  for (const byte of bytes) n = (n << 8n) | BigInt(byte)
  let out = ''
  while (n > 0n) {
    out = ALPHABET[Number(n % 58n)] + out
    n /= 58n
  }
  return out || '1'
}

/** A new id such as `cust-FarcM8gwhL1XFDXQ57qGLL`: the prefix and the base58 of a version 4 UUID. */
export function newId(prefix: string): string {
  const hex = globalThis.crypto.randomUUID().replaceAll('-', '')
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 16; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return `${prefix}-${base58(bytes)}`
}
