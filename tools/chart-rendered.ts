// SPDX-License-Identifier: Apache-2.0
// Writes what is made from the rendered charts: deploy/images.txt and the totals in deploy/*/README.md. Needs Helm.
import { writeFileSync } from 'node:fs'
import { noHelm } from '../test/charts/helm.ts'
import { renderedFiles } from '../test/charts/rendered-files.ts'

if (noHelm) throw new Error(noHelm)
for (const [file, text] of renderedFiles()) {
  writeFileSync(file, text)
  console.log(file)
}
