// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { generatedFiles } from '../../tools/charts/generated.ts'
import { leaves, readValues } from '../../tools/charts/values.ts'
import { infraChart, instancesChart, noHelm, root } from './helm.ts'
import { imageTable, splitImage } from './image-table.ts'
import { renderedFiles } from './rendered-files.ts'

for (const chart of [infraChart, instancesChart]) {
  const skip = existsSync(join(chart, 'values.yaml')) ? false : 'the chart has no values yet'
  const name = relative(root, chart)

  test(`${name}: schema and table of the values are those of values.yaml`, { skip }, () => {
    for (const [file, text] of generatedFiles(chart)) {
      const hint = `run \`node tools/run.mjs tools/chart-values.ts\` and commit ${relative(root, file)}`
      assert.equal(readFileSync(file, 'utf8'), text, hint)
    }
  })
}

test('deploy/nemo-infra: every value says what it is', () => {
  const values = readValues(readFileSync(join(infraChart, 'values.yaml'), 'utf8'))
  const silent = leaves(values).filter((value) => !value.description)
  assert.deepEqual(
    silent.map((value) => value.path),
    [],
  )
  const readme = readFileSync(join(infraChart, 'README.md'), 'utf8')
  for (const anchor of ['Prerequisites', 'Configuration', 'Troubleshooting'])
    assert.match(readme, new RegExp(`^## ${anchor}$`, 'm'))
})

test('images.txt and the totals are those of the rendered charts', { skip: noHelm }, () => {
  for (const [file, text] of renderedFiles()) {
    const hint = `run \`node tools/run.mjs tools/chart-rendered.ts\` and commit ${relative(root, file)}`
    assert.equal(readFileSync(file, 'utf8'), text, hint)
  }
})

test('every image of images.txt is in the table, and ours are named as ours', () => {
  const rows = imageTable()
  const listed = readFileSync(join(root, 'deploy/images.txt'), 'utf8').trim().split('\n')
  for (const image of listed) {
    const { repository } = splitImage(image)
    // Images of resources that a user may name, such as those of NVIDIA, are not ours to describe.
    const row = rows.find((candidate) => candidate.image === repository)
    assert.ok(row, `${repository} is not in deploy/images/images.yaml`)
    assert.equal(row.source === 'built', repository.startsWith('localhost/open-nemo/'), repository)
  }
  assert.equal(new Set(rows.map((row) => row.image)).size, rows.length, 'an image has two rows')
})
