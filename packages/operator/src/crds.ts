// SPDX-License-Identifier: Apache-2.0
// Writes the chart's CRDs from the contract: node packages/operator/src/crds.ts
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { customResourceDefinition, KINDS } from '@open-nemo/contract/kubernetes/crds.ts'
import { stringify } from 'yaml'

const FOLDER = join(import.meta.dirname, '../../../deploy/nemo-instances/crds')
const HEAD =
  '# SPDX-License-Identifier: Apache-2.0\n# Made from packages/contract/src/kubernetes by `node packages/operator/src/crds.ts`; not edited by hand.\n'

/** The files of the chart's crds folder by name. */
export function crdFiles(): Map<string, string> {
  return new Map(
    KINDS.map((kind) => [
      `${kind.group}_${kind.plural}.yaml`,
      HEAD + stringify(customResourceDefinition(kind), { aliasDuplicateObjects: false, lineWidth: 110 }),
    ]),
  )
}

/** What the folder holds now, to compare with `crdFiles`. */
export async function writtenCrdFiles(folder = FOLDER): Promise<Map<string, string>> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).sort()
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const)),
  )
}

if (import.meta.main) {
  await rm(FOLDER, { recursive: true, force: true })
  await mkdir(FOLDER, { recursive: true })
  for (const [name, text] of crdFiles()) await writeFile(join(FOLDER, name), text)
  console.log(`${crdFiles().size} files in deploy/nemo-instances/crds`)
}
