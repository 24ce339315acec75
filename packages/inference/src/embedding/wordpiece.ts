// SPDX-License-Identifier: Apache-2.0

/** Longer words are not in any vocabulary. */
const MAX_WORD = 100
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
/** Ideographs are words of their own. */
const CJK =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu
const UNSEEN = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu
/** Words, and each punctuation mark or ASCII symbol alone. */
const PIECES = /[\p{P}!-/:-@[-`{-~]|[^\s\p{P}!-/:-@[-`{-~]+/gu

/** BERT's uncased WordPiece tokenizer, as transformers has it. */
export interface WordPiece {
  /** Ids of a text, `[CLS]` and `[SEP]` around them. */
  encode(text: string): number[]
  cls: number
  sep: number
  /** Tokens of the vocabulary. */
  size: number
}

/** Makes the tokenizer of a vocabulary file: one token a line. Throws when a special token is missing. */
export function wordPiece(vocabulary: readonly string[]): WordPiece {
  const ids = new Map(vocabulary.map((token, id) => [token, id]))
  const need = (token: string): number => {
    const id = ids.get(token)
    if (id === undefined) throw new Error(`the vocabulary has no ${token}`)
    return id
  }
  const [cls, sep, unknown] = [need('[CLS]'), need('[SEP]'), need('[UNK]')]
  const special = SPECIAL.filter((token) => ids.has(token))
  const cut = new RegExp(`(${special.map((token) => token.replace(/[[\]]/g, '\\$&')).join('|')})`)

  function word(text: string): number[] {
    const letters = [...text]
    if (letters.length > MAX_WORD) return [unknown]
    const found: number[] = []
    for (let start = 0; start < letters.length; ) {
      let end = letters.length
      let id: number | undefined
      for (; end > start; end--) {
        id = ids.get((start > 0 ? '##' : '') + letters.slice(start, end).join(''))
        if (id !== undefined) break
      }
      if (id === undefined) return [unknown]
      found.push(id)
      start = end
    }
    return found
  }

  return {
    cls,
    sep,
    size: vocabulary.length,
    encode(text) {
      // Names of control tokens count as such wherever they stand; the other parts are words.
      const parts = text.split(cut).map((part, i) => (i % 2 === 1 ? [need(part)] : words(part).flatMap(word)))
      return [cls, ...parts.flat(), sep]
    },
  }
}

function words(text: string): string[] {
  const clean = text.replace(UNSEEN, '').replace(CJK, ' $& ')
  const plain = clean.normalize('NFD').replace(/\p{Mn}/gu, '')
  return lower(plain).match(PIECES) ?? []
}

// Letter by letter: the whole-string rule for a final sigma is not the tokenizer's.
const lower = (text: string) => text.replace(/\p{Lu}|\p{Lt}/gu, (letter) => letter.toLowerCase())
