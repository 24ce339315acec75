// SPDX-License-Identifier: Apache-2.0
// Writes the measured figures into README.md from bench/results: `npm run numbers`.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { withNumbers } from '../bench/numbers.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const path = `${root}README.md`
writeFileSync(path, withNumbers(readFileSync(path, 'utf8'), root))
