// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { base58Check, bech32, esNif, iban, ibanPart, luhn, ukNhs, usSsn, verhoeff } from './checksums.ts'

/** One way to find an entity. Patterns are global, and bounded so that their time is linear. */
export interface Recognizer {
  entity: string
  pattern: RegExp
  /** Certainty of a match from 0 to 1. */
  score: number
  /** The part of a match that counts, where words after it look like more of it. */
  trim?: (text: string) => string
  /** Refuses a match that only looks right. */
  valid?: (text: string) => boolean
  /** Certainty when one of these words stands nearby, for matches that mean little alone. */
  context?: { words: RegExp; score: number }
}

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())

const digits = (text: string) => text.replace(/\D/g, '')

/** What an international or North American number can be; dates and plain numbers are not. */
function phone(text: string): boolean {
  const d = digits(text)
  if (d.length < 7 || d.length > 15 || /^(\d)\1+$/.test(d)) return false
  if (/^\s*\d{4}[-.]\d{2}[-.]\d{2}\s*$/.test(text)) return false
  if (text.trim().startsWith('+')) return true
  // North America: an area code and an exchange that do not start with 0 or 1
  if (d.length === 10 || (d.length === 11 && d[0] === '1')) return /^1?[2-9]\d{2}[2-9]\d{6}$/.test(d)
  return d.length >= 9 && d[0] === '0'
}

const ip = (text: string) => isIP(text) !== 0 && text !== '::'

function email(text: string): boolean {
  const [, domain = ''] = text.split('@')
  return domain.split('.').every((part) => part !== '' && !part.startsWith('-') && !part.endsWith('-'))
}

/** The entities that patterns and check digits find, by the names that Presidio has for them. */
export const RECOGNIZERS: Recognizer[] = [
  {
    entity: 'EMAIL_ADDRESS',
    pattern: /(?<![\w.+%-])[\w+%-](?:[\w.+%-]{0,62}[\w+%-])?@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b/gi,
    score: 1,
    valid: email,
  },
  {
    entity: 'PHONE_NUMBER',
    pattern:
      /(?<![\w.,+-])(?:\+\d{1,3}[\s.-]?)?(?:\(\d{1,4}\)[\s.-]?)?\d{1,4}(?:[\s.-]?\d{2,4}){1,4}(?![\w-]|[.,]\d)/g,
    score: 0.4,
    valid: phone,
    context: {
      words: /\b(?:phone|call|tel|telephone|mobile|cell|fax|number|reach|whatsapp|sms)\b/i,
      score: 0.75,
    },
  },
  {
    entity: 'CREDIT_CARD',
    pattern: /(?<![\w.-])(?:\d[ -]?){11,18}\d(?![\w-])/g,
    score: 1,
    valid: (text) =>
      /^(?:3|4|5|2[1-7]|6|1800)/.test(digits(text)) && luhn(text) && !/^(\d)\1+$/.test(digits(text)),
  },
  {
    entity: 'IBAN_CODE',
    pattern: /\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}\b/gi,
    score: 1,
    trim: ibanPart,
    valid: iban,
  },
  {
    entity: 'US_SSN',
    pattern: /(?<![\w-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])/g,
    score: 0.85,
    valid: usSsn,
  },
  {
    entity: 'US_SSN',
    pattern: /(?<![\w.-])\d{9}(?![\w-])/g,
    score: 0.05,
    valid: usSsn,
    context: { words: /\b(?:ssn|social security|social)\b/i, score: 0.5 },
  },
  {
    entity: 'US_ITIN',
    pattern: /(?<![\w-])9\d{2}([- ])(?:5\d|6[0-5]|7\d|8[0-8]|9[0-2]|9[4-9])\1\d{4}(?![\w-])/g,
    score: 0.5,
  },
  {
    entity: 'IP_ADDRESS',
    pattern: /(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)/g,
    score: 0.95,
    valid: ip,
  },
  {
    entity: 'IP_ADDRESS',
    pattern: /(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi,
    score: 0.6,
    valid: ip,
  },
  {
    entity: 'MAC_ADDRESS',
    pattern: /(?<![\w:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![\w:-])/gi,
    score: 0.6,
  },
  { entity: 'URL', pattern: /\bhttps?:\/\/[^\s<>"'`]{1,2000}[^\s<>"'`.,;:!?)\]}]/gi, score: 0.6 },
  {
    entity: 'URL',
    pattern:
      /(?<![\w@.-])(?:www\.)?(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io|ai|dev|co|info|biz|app|eu|uk|de|fr|us|ca|au|in|jp|cn|ru|br|nl|es|it|ch|se|no|pl)\b(?:\/[^\s<>"'`]{0,1000}[^\s<>"'`.,;:!?)\]}])?/gi,
    score: 0.5,
  },
  {
    entity: 'CRYPTO',
    pattern: /\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b/g,
    score: 1,
    valid: (t) => base58Check(t, sha256),
  },
  { entity: 'CRYPTO', pattern: /\bbc1[02-9ac-hj-np-z]{11,87}\b/gi, score: 1, valid: bech32 },
  { entity: 'CRYPTO', pattern: /\b0x[0-9a-f]{40}\b/gi, score: 0.8 },
  {
    entity: 'US_PASSPORT',
    pattern: /\b(?:[A-Z]\d{8}|\d{9})\b/g,
    score: 0.05,
    context: { words: /\bpassport\b/i, score: 0.5 },
  },
  {
    entity: 'US_DRIVER_LICENSE',
    pattern: /\b(?:[A-Z]\d{7,12}|[A-Z]{2}\d{6}|\d{7,9})\b/g,
    score: 0.01,
    context: { words: /\bdriver'?s?\b.{0,20}\blicen[sc]e\b|\bDL\b/i, score: 0.5 },
  },
  {
    entity: 'US_BANK_NUMBER',
    pattern: /(?<![\w.-])\d{8,17}(?![\w-])/g,
    score: 0.05,
    context: { words: /\b(?:account|bank|acct|routing|debit|savings|checking)\b/i, score: 0.5 },
  },
  {
    entity: 'MEDICAL_LICENSE',
    pattern: /\b[A-Z]{2}\d{7}\b/g,
    score: 0.3,
    context: { words: /\b(?:DEA|medical|certificate)\b/i, score: 0.6 },
  },
  { entity: 'UK_NHS', pattern: /(?<![\w-])\d{3}[- ]?\d{3}[- ]?\d{4}(?![\w-])/g, score: 0.5, valid: ukNhs },
  {
    entity: 'UK_NINO',
    pattern: /\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b/g,
    score: 0.5,
  },
  { entity: 'ES_NIF', pattern: /\b\d{7,8}-?[A-Z]\b/g, score: 0.7, valid: esNif },
  { entity: 'IT_FISCAL_CODE', pattern: /\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b/gi, score: 0.5 },
  { entity: 'SG_NRIC_FIN', pattern: /\b[STFGM]\d{7}[A-Z]\b/g, score: 0.5 },
  { entity: 'IN_PAN', pattern: /\b[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]\b/g, score: 0.6 },
  {
    entity: 'IN_AADHAAR',
    pattern: /(?<![\w-])[2-9]\d{3}([ -]?)\d{4}\1\d{4}(?![\w-])/g,
    score: 0.6,
    valid: verhoeff,
  },
  {
    entity: 'DATE_TIME',
    pattern:
      /(?<![\w.-])(?:\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})(?![\w-])/g,
    score: 0.6,
  },
  {
    entity: 'DATE_TIME',
    pattern:
      /\b(?:\d{1,2}(?:st|nd|rd|th)?\s)?(?:Jan(?:uary)?|Feb(?:ruary)?|March|April|May|June|July|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\s\d{1,4}(?:st|nd|rd|th)?(?:,?\s\d{4})?\b/g,
    score: 0.6,
  },
]

/** Names of the entities that patterns find. */
export const PATTERN_ENTITIES = [...new Set(RECOGNIZERS.map((r) => r.entity))]
