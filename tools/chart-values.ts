// SPDX-License-Identifier: Apache-2.0
// Writes values.schema.json and the table in README.md of each chart from the comments of its values.yaml.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generatedFiles } from './charts/generated.ts'

const deploy = fileURLToPath(new URL('../deploy/', import.meta.url))
for (const chart of ['nemo-infra', 'nemo-instances']) {
  if (!existsSync(join(deploy, chart, 'values.yaml'))) continue
  for (const [file, text] of generatedFiles(join(deploy, chart))) {
    writeFileSync(file, text)
    console.log(file)
  }
}
