// SPDX-License-Identifier: Apache-2.0

/**
 * Porter's stemmer with the extensions of NLTK, which `rouge-score` uses: a handful of irregular words, and gentler
 * endings for short words.
 */
const IRREGULAR = new Map(
  Object.entries({
    skies: 'sky',
    sky: 'sky',
    dying: 'die',
    lying: 'lie',
    tying: 'tie',
    news: 'news',
    innings: 'inning',
    inning: 'inning',
    outings: 'outing',
    outing: 'outing',
    cannings: 'canning',
    canning: 'canning',
    howe: 'howe',
    proceed: 'proceed',
    exceed: 'exceed',
    succeed: 'succeed',
  }),
)

/** Whether each letter is a consonant; `y` is one at the start and after a vowel. */
function consonants(word: string): boolean[] {
  const flags: boolean[] = []
  for (let i = 0; i < word.length; i++) {
    const letter = word[i] as string
    flags.push('aeiou'.includes(letter) ? false : letter !== 'y' || i === 0 || !flags[i - 1])
  }
  return flags
}

/** How often a vowel is followed by a consonant. */
function measure(stem: string): number {
  const flags = consonants(stem)
  let count = 0
  for (let i = 1; i < flags.length; i++) if (flags[i] && !flags[i - 1]) count++
  return count
}

const hasVowel = (stem: string) => consonants(stem).includes(false)

function endsDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && consonants(word).at(-1) === true
}

/** Consonant, vowel, consonant other than w, x and y; of two letters, vowel and consonant. */
function endsCvc(word: string): boolean {
  const flags = consonants(word)
  if (word.length === 2) return !flags[0] && flags[1] === true
  if (word.length < 3) return false
  const [a, b, c] = flags.slice(-3)
  return a === true && b === false && c === true && !'wxy'.includes(word.at(-1) as string)
}

type Rule = [suffix: string, replacement: string, condition?: (stem: string) => boolean]
const some = (stem: string) => measure(stem) > 0
const more = (stem: string) => measure(stem) > 1

const STEP_2: Rule[] = [
  ['ational', 'ate', some],
  ['tional', 'tion', some],
  ['enci', 'ence', some],
  ['anci', 'ance', some],
  ['izer', 'ize', some],
  ['bli', 'ble', some],
  ['alli', 'al', some],
  ['entli', 'ent', some],
  ['eli', 'e', some],
  ['ousli', 'ous', some],
  ['ization', 'ize', some],
  ['ation', 'ate', some],
  ['ator', 'ate', some],
  ['alism', 'al', some],
  ['iveness', 'ive', some],
  ['fulness', 'ful', some],
  ['ousness', 'ous', some],
  ['aliti', 'al', some],
  ['iviti', 'ive', some],
  ['biliti', 'ble', some],
  ['fulli', 'ful', some],
  // The l of logi counts to the stem.
  ['logi', 'log', (stem) => some(`${stem}l`)],
]
const STEP_3: Rule[] = [
  ['icate', 'ic', some],
  ['ative', '', some],
  ['alize', 'al', some],
  ['iciti', 'ic', some],
  ['ical', 'ic', some],
  ['ful', '', some],
  ['ness', '', some],
]
const STEP_4: Rule[] = [
  ...['al', 'ance', 'ence', 'er', 'ic', 'able', 'ible', 'ant', 'ement', 'ment', 'ent'].map(
    (suffix): Rule => [suffix, '', more],
  ),
  ['ion', '', (stem) => more(stem) && /[st]$/.test(stem)],
  ...['ou', 'ism', 'ate', 'iti', 'ous', 'ive', 'ize'].map((suffix): Rule => [suffix, '', more]),
]

/** The first rule whose suffix fits decides, whether or not its condition holds. */
function apply(word: string, rules: Rule[]): string {
  for (const [suffix, replacement, condition] of rules) {
    if (!word.endsWith(suffix)) continue
    const stem = word.slice(0, word.length - suffix.length)
    return !condition || condition(stem) ? stem + replacement : word
  }
  return word
}

function plurals(word: string): string {
  if (word.endsWith('ies')) return word.slice(0, word.length === 4 ? -1 : -2)
  return apply(word, [
    ['sses', 'ss'],
    ['ss', 'ss'],
    ['s', ''],
  ])
}

function pastAndGerund(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, word.length === 4 ? -1 : -2)
  if (word.endsWith('eed')) return some(word.slice(0, -3)) ? word.slice(0, -1) : word
  const suffix = ['ed', 'ing'].find((one) => word.endsWith(one) && hasVowel(word.slice(0, -one.length)))
  if (!suffix) return word
  const stem = word.slice(0, -suffix.length)
  if (/(at|bl|iz)$/.test(stem)) return `${stem}e`
  if (endsDoubleConsonant(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1)
  return measure(stem) === 1 && endsCvc(stem) ? `${stem}e` : stem
}

function finalY(word: string): string {
  const stem = word.slice(0, -1)
  const isChanged = word.endsWith('y') && stem.length > 1 && consonants(stem).at(-1) === true
  return isChanged ? `${stem}i` : word
}

function doubleSuffixes(word: string): string {
  if (word.endsWith('alli') && some(word.slice(0, -4))) return doubleSuffixes(word.slice(0, -2))
  return apply(word, STEP_2)
}

function finalE(word: string): string {
  if (!word.endsWith('e')) return word
  const stem = word.slice(0, -1)
  const m = measure(stem)
  return m > 1 || (m === 1 && !endsCvc(stem)) ? stem : word
}

function finalL(word: string): string {
  return word.endsWith('ll') && more(word.slice(0, -1)) ? word.slice(0, -1) : word
}

/** The stem of a lower-case word. */
export function stem(word: string): string {
  const known = IRREGULAR.get(word)
  if (known !== undefined) return known
  if (word.length <= 2) return word
  const suffixed = doubleSuffixes(finalY(pastAndGerund(plurals(word))))
  return finalL(finalE(apply(apply(suffixed, STEP_3), STEP_4)))
}
