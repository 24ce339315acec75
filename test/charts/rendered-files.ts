// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { between } from '../../tools/charts/values.ts'
import { infraChart, instancesChart, type KubeObject, render, root } from './helm.ts'
import { imagesOf } from './pods.ts'
import { totals, totalsTable } from './resources.ts'

/** Both charts with everything on, as far as they are there. */
export function everything(): KubeObject[] {
  const charts = [infraChart, instancesChart].filter((chart) => existsSync(join(chart, 'values.yaml')))
  return charts.flatMap((chart) =>
    render(chart, { release: chart === infraChart ? 'nemo-infra' : 'nemo-instances' }),
  )
}

/** The files that are made from rendered charts, by path, with the text they must have. */
export function renderedFiles(): Map<string, string> {
  const files = new Map<string, string>()
  files.set(join(root, 'deploy/images.txt'), `${imagesOf(everything()).join('\n')}\n`)
  const tables: [string, Record<string, ReturnType<typeof totals>>][] = [
    [
      infraChart,
      {
        '`profile: full`': totals(render(infraChart)),
        '`profile: minimal`': totals(render(infraChart, { values: { profile: 'minimal' } })),
      },
    ],
    [instancesChart, { 'all pods that go on running': totals(render(instancesChart, { release: 'r' })) }],
  ]
  for (const [chart, rows] of tables) {
    const readme = join(chart, 'README.md')
    const page = between(readFileSync(readme, 'utf8'), 'resources', totalsTable(rows))
    if (page === undefined) throw new Error(`${readme} has no place for the totals`)
    files.set(readme, page)
  }
  return files
}
