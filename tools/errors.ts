// SPDX-License-Identifier: Apache-2.0
// Writes docs/errors.md from the error catalogue: `node tools/run.mjs tools/errors.ts`.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errorsDocument } from '../packages/cli/src/docs/errors-document.ts'

writeFileSync(fileURLToPath(new URL('../docs/errors.md', import.meta.url)), await errorsDocument())
