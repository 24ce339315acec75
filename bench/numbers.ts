// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Row } from './lib.ts'

/** What the README says of a row of bench/results, in the order shown. */
const SHOWN: [file: string, row: string, text: string][] = [
  ['start', 'start.all_health_s', 'all APIs answer after `nemoctl up`, on existing data'],
  ['start', 'start.new_home_all_health_s', 'the same on new data'],
  ['entity-store', 'entity_store.create_per_s', 'entities created'],
  ['entity-store', 'entity_store.get_per_s', 'entities read'],
  ['entity-store', 'entity_store.list_100_of_100000_p99_ms', 'page of 100 of 100,000 entities, p99'],
  ['data-store', 'data_store.upload_mb_s', 'upload of 1 GB with huggingface_hub 0.34.4'],
  ['data-store', 'data_store.download_mb_s', 'download of it'],
  ['data-store', 'data_store.commit_10000_files_s', 'commit of 10,000 small files'],
  ['engine', 'engine.tok_s.c1', 'one adapter of the reference model, one stream'],
  ['engine', 'engine.tok_s.c8', 'one adapter of the reference model, eight streams together'],
  ['proxy', 'proxy.added_p50_ms.c32', 'passing a chat on to an upstream, added p50 with 32 clients'],
  ['proxy', 'proxy.added_p99_ms.c32', 'the same, added p99'],
  ['trainer', 'trainer.rows_per_s', 'LoRA training'],
  ['flywheel', 'flywheel.total_s', '`nemoctl demo flywheel`, environment already made'],
  ['guardrails', 'guardrails.overhead_p50_ms.c1', 'what the rails add, p50 with 1 client'],
  ['guardrails', 'guardrails.overhead_p50_ms.c32', 'the same with 32 clients'],
  ['evaluator', 'evaluator.metric_items_per_s', 'scores of string metrics'],
  [
    'evaluator',
    'evaluator.endpoint_busy_share.c64',
    'share of the time that an endpoint under test is busy, 64 at a time',
  ],
  ['operator', 'operator.converge_per_s', '1,000 training jobs created at once: Jobs and states'],
  ['operator', 'operator.event_to_status_p99_ms', 'from a pod to the status of its training job, p99'],
  ['operator', 'operator.rss_mb', 'memory of the operator, at most'],
  ['charts', 'charts.infra_ready_s', 'nemo-infra on a cluster, all pods ready, images present'],
  ['charts', 'charts.instances_ready_s', 'nemo-instances after it, all resources Ready'],
  ['charts', 'charts.both_ready_s', 'both together'],
  ['charts', 'charts.uninstall_s', 'uninstall of both, until nothing remains but what is kept'],
  ['charts', 'charts.uninstall_operators_dead_s', 'the same with the operators scaled to zero'],
]

export const NUMBERS_START = '<!-- numbers: `npm run numbers` writes them from bench/results -->'
export const NUMBERS_END = '<!-- /numbers -->'

/** The README's table of measured figures, from what `bench/` wrote and nothing else. */
export function numbersTable(root: string): string {
  const lines = ['| | measured | target | beside it |', '|---|---|---|---|']
  for (const [file, name, text] of SHOWN) {
    const path = join(root, 'bench', 'results', `${file}.json`)
    if (!existsSync(path)) continue
    const { rows } = JSON.parse(readFileSync(path, 'utf8')) as { rows: Row[] }
    const row = rows.find((each) => each.name === name)
    if (!row) continue
    const peer = row.peer && row.peer_value ? `${row.peer}: ${row.peer_value} (ratio ${row.ratio})` : ''
    lines.push(`| ${text} | ${row.value} ${row.unit} | ${row.target ?? ''} | ${peer} |`)
  }
  return lines.join('\n')
}

/** The README with its numbers made anew. Throws when the markers are gone. */
export function withNumbers(readme: string, root: string): string {
  const start = readme.indexOf(NUMBERS_START)
  const end = readme.indexOf(NUMBERS_END)
  if (start < 0 || end < start) throw new Error('README.md has lost its markers for the numbers')
  return `${readme.slice(0, start)}${NUMBERS_START}\n${numbersTable(root)}\n${readme.slice(end)}`
}
