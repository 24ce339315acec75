// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { withNumbers } from '../../../../bench/numbers.ts'
import { errorsDocument } from './errors-document.ts'

test('docs/errors.md lists exactly the errors there are', async () => {
  const written = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8')
  assert.equal(
    written,
    await errorsDocument(),
    'run `node tools/run.mjs tools/errors.ts` and commit docs/errors.md',
  )
})

test('the numbers in README.md are those that bench/ wrote', () => {
  const root = fileURLToPath(new URL('../../../../', import.meta.url))
  const readme = readFileSync(`${root}README.md`, 'utf8')
  assert.equal(readme, withNumbers(readme, root), 'run `npm run numbers` and commit README.md')
})
