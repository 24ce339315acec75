// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findPatterns, masked, withoutOverlaps } from './detect.ts'
import { findNames, NAME_ENTITIES } from './names.ts'
import { PATTERN_ENTITIES } from './recognizers.ts'

const found = (text: string, entities: string[] = PATTERN_ENTITIES) =>
  withoutOverlaps(findPatterns(text, entities, 0.2)).map((e) => [e.entity_type, text.slice(e.start, e.end)])

const cases: [entity: string, yes: string[], no: string[]][] = [
  [
    'EMAIL_ADDRESS',
    ['ada@example.org', 'a.b+c@x-y.co.uk', 'Ada@Example.COM'],
    ['ada@localhost', '@handle', 'a@b', 'x@-a.com'],
  ],
  [
    'PHONE_NUMBER',
    ['+1 212-555-0199', '(212) 555-0199', '212-555-0199', '+49 30 1234567', '+442079460958', '030 12345678'],
    ['2024-01-15', '12345', '1,234,567', '111-111-1111', '3.14159265'],
  ],
  [
    'CREDIT_CARD',
    ['4111 1111 1111 1111', '4111111111111111', '5555-5555-5555-4444', '378282246310005', '6011111111111117'],
    ['4111 1111 1111 1112', '1234567812345678', '0000 0000 0000 0000'],
  ],
  [
    'IBAN_CODE',
    ['DE89 3704 0044 0532 0130 00', 'GB29NWBK60161331926819', 'NL91ABNA0417164300'],
    ['DE89 3704 0044 0532 0130 01', 'XX12ABCD1234'],
  ],
  [
    'US_SSN',
    ['536-22-1234', '536 22 1234'],
    ['000-12-3456', '666-12-3456', '900-12-3456', '536-00-1234', '536-22 1234'],
  ],
  [
    'IP_ADDRESS',
    ['192.168.0.1', '2001:db8::8a2e:370:7334', '::1'],
    ['256.1.1.1', '1.2.3', '1.2.3.4.5', '12:30'],
  ],
  [
    'URL',
    ['https://example.org/a?b=1', 'www.example.com', 'example.ai/x'],
    ['e.g. this', 'file.txt', 'ada@example.org'],
  ],
  [
    'CRYPTO',
    [
      '1BoatSLRHtKNngkdXEeobR76b53LETtpyT',
      'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
      '0x52908400098527886E0F7030069857D2E4169EE7',
    ],
    ['1BoatSLRHtKNngkdXEeobR76b53LETtpyU', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5'],
  ],
  ['UK_NHS', ['943 476 5919'], ['943 476 5918']],
  ['ES_NIF', ['12345678Z'], ['12345678A']],
  ['IN_AADHAAR', ['2341 2341 2346'], ['2341 2341 2347']],
]

test('each entity: what has its form and its check digits, and not what only looks like it', () => {
  for (const [entity, yes, no] of cases) {
    for (const text of yes) assert.deepEqual(found(`see ${text} now`, [entity]), [[entity, text]], text)
    for (const text of no) assert.deepEqual(found(`see ${text} now`, [entity]), [], `${entity} in ${text}`)
  }
})

test('numbers that mean little alone count beside their word', () => {
  assert.deepEqual(found('passport 123456789', ['US_PASSPORT']), [['US_PASSPORT', '123456789']])
  assert.deepEqual(found('order 123456789', ['US_PASSPORT']), [])
  assert.deepEqual(found('my ssn is 536221234', ['US_SSN']), [['US_SSN', '536221234']])
})

test('every single digit changed is noticed by the check digits', () => {
  for (const [entity, card] of [
    ['CREDIT_CARD', '4111111111111111'],
    ['IBAN_CODE', 'DE89370400440532013000'],
  ] as const) {
    for (let i = entity === 'IBAN_CODE' ? 2 : 1; i < card.length; i++) {
      const digit = (Number(card[i]) + 1 + (i % 8)) % 10
      if (String(digit) === card[i]) continue
      const wrong = card.slice(0, i) + digit + card.slice(i + 1)
      assert.deepEqual(found(wrong, [entity]), [], wrong)
    }
  }
})

test('names by introduction, first names, places and companies', () => {
  const names = (text: string) =>
    withoutOverlaps(findNames(text, NAME_ENTITIES)).map((e) => [e.entity_type, text.slice(e.start, e.end)])
  assert.deepEqual(names('My name is Zelda Quux.'), [['PERSON', 'Zelda Quux']])
  assert.deepEqual(names('Ask John Smith in Paris'), [
    ['PERSON', 'John Smith'],
    ['LOCATION', 'Paris'],
  ])
  assert.deepEqual(names('Acme Widgets Inc. sells'), [['ORGANIZATION', 'Acme Widgets Inc.']])
  assert.deepEqual(names('I am Happy to help, The Big Red Dog'), [])
})

test('overlaps go to the surest, and what is left is masked in place', () => {
  const text = 'mail ada@example.org or http://example.org, card 4111111111111111.'
  const all = withoutOverlaps(findPatterns(text, PATTERN_ENTITIES, 0.2))
  assert.equal(masked(text, all), 'mail <EMAIL_ADDRESS> or <URL>, card <CREDIT_CARD>.')
})

test('hostile texts take linear time', () => {
  const texts = [
    'a'.repeat(1e5),
    '1 '.repeat(5e4),
    'a.'.repeat(5e4),
    '1-'.repeat(5e4),
    'A1 '.repeat(3e4),
    ':'.repeat(1e5),
    'a@'.repeat(5e4),
    '('.repeat(1e5),
    'aa:'.repeat(3e4),
    'John '.repeat(2e4),
  ]
  for (const text of texts) {
    const begun = performance.now()
    withoutOverlaps([...findPatterns(text, PATTERN_ENTITIES, 0.2), ...findNames(text, NAME_ENTITIES)])
    const took = performance.now() - begun
    assert.ok(took < 2000, `${text.slice(0, 10)}… took ${took.toFixed(0)} ms`)
  }
})
