// SPDX-License-Identifier: Apache-2.0
import type { EvaluationResult, Score } from '@open-nemo/contract/evaluation/results.ts'
import type { Database } from '@open-nemo/runtime'
import type { Job } from '../jobs/types.ts'
import type { SampleRecord } from '../kinds/types.ts'
import { readSamples } from '../runner/recorder.ts'
import { STYLE } from './style.ts'

const WORST = 20
const BINS = 10
const SHOWN = 4000

/** A page that needs nothing else: scores, how they are spread, the worst samples, and those that failed. */
export async function* reportOf(
  db: Database,
  job: Job,
  result: EvaluationResult | undefined,
): AsyncGenerator<Uint8Array> {
  const { target, config } = job.payload
  const title = `Evaluation ${job.id}`
  yield text(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1><dl>
<dt>status</dt><dd>${escapeHtml(job.status)}: ${escapeHtml(job.state.message ?? '')}</dd>
<dt>type</dt><dd>${escapeHtml(config.type)}</dd><dt>config</dt><dd>${escapeHtml(`${config.namespace}/${config.name}`)}</dd>
<dt>target</dt><dd>${escapeHtml(`${target.type} ${target.namespace}/${target.name}`)}</dd>
<dt>samples</dt><dd>${job.state.processed}, ${job.state.failed} of them failed; ${job.state.retries} requests sent again</dd>
<dt>from, to</dt><dd>${escapeHtml(`${job.state.started_at ?? ''} – ${job.state.ended_at ?? ''}`)}</dd></dl>`)
  for (const [name, group] of Object.entries(result?.groups ?? {})) {
    yield text(`<h2>Group ${escapeHtml(name)}</h2>${scoreTable(group.metrics ?? {})}`)
  }
  const names = new Set([...Object.keys(job.state.task_status), ...Object.keys(result?.tasks ?? {})])
  for (const name of names) {
    yield text(`<h2>Task ${escapeHtml(name)}</h2>${scoreTable(result?.tasks[name]?.metrics ?? {})}`)
    yield* taskOf(await look(readSamples(db, job.id, name)))
  }
  yield text('</body></html>\n')
}

function* taskOf({ spreads, failed, worst }: Seen): Generator<Uint8Array> {
  for (const [score, spread] of spreads) yield text(histogram(score, spread))
  if (failed.length > 0) yield text('<h3>Samples that failed</h3>')
  for (const record of failed) yield text(sampleOf(record))
  if (worst.length > 0) yield text('<h3>Lowest scores</h3>')
  for (const { record } of worst) yield text(sampleOf(record))
}

interface Spread {
  values: number[]
  missing: number
}

interface Seen {
  spreads: Map<string, Spread>
  worst: { mean: number; record: SampleRecord }[]
  failed: SampleRecord[]
}

/** One pass over the samples: every score's values, and the samples worth a look. */
async function look(records: AsyncIterable<SampleRecord>): Promise<Seen> {
  const seen: Seen = { spreads: new Map(), worst: [], failed: [] }
  for await (const record of records) {
    if (record.error !== null) {
      if (seen.failed.length < WORST) seen.failed.push(record)
      continue
    }
    const values: number[] = []
    for (const [metric, scores] of Object.entries(record.scores)) {
      for (const [name, value] of Object.entries(scores)) {
        const key = `${metric} / ${name}`
        const spread = seen.spreads.get(key) ?? { values: [], missing: 0 }
        seen.spreads.set(key, spread)
        if (value === null) spread.missing++
        else spread.values.push(value)
        values.push(value ?? 0)
      }
    }
    keepWorst(seen.worst, {
      mean: values.reduce((sum, v) => sum + v, 0) / Math.max(1, values.length),
      record,
    })
  }
  return seen
}

function keepWorst(worst: Seen['worst'], one: Seen['worst'][number]): void {
  const last = worst.at(-1)
  if (worst.length >= WORST && last && one.mean >= last.mean) return
  const at = worst.findIndex((other) => other.mean > one.mean)
  worst.splice(at < 0 ? worst.length : at, 0, one)
  if (worst.length > WORST) worst.pop()
}

function scoreTable(metrics: Record<string, { scores?: Record<string, Score> | null }>): string {
  const rows = Object.entries(metrics).flatMap(([metric, { scores }]) =>
    Object.entries(scores ?? {}).map(([name, { value, stats }]) => {
      const cells = [stats?.count, stats?.min, stats?.max, stats?.stddev, stats?.nan_count].map(number)
      return `<tr><th>${escapeHtml(metric)}</th><th>${escapeHtml(name)}</th><td class="value">${number(value)}</td>${cells
        .map((cell) => `<td>${cell}</td>`)
        .join('')}</tr>`
    }),
  )
  if (rows.length === 0) return ''
  const head = ['metric', 'score', 'value', 'count', 'min', 'max', 'stddev', 'unreadable']
  return `<table><thead><tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`
}

function histogram(name: string, { values, missing }: Spread): string {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of values) {
    min = Math.min(min, value)
    max = Math.max(max, value)
  }
  if (values.length === 0) return `<p>${escapeHtml(name)}: no value, ${missing} unreadable</p>`
  const bins = new Array<number>(min === max ? 1 : BINS).fill(0)
  const width = (max - min) / bins.length || 1
  for (const value of values) {
    const at = Math.min(bins.length - 1, Math.floor((value - min) / width))
    bins[at] = (bins[at] ?? 0) + 1
  }
  const top = Math.max(...bins)
  const bars = bins.map((count, i) => {
    const from = number(min + i * width)
    const to = number(min + (i + 1) * width)
    const label = bins.length === 1 ? from : `${from} – ${to}`
    return `<tr><td>${label}</td><td><span class="bar" style="width:${((count / top) * 20).toFixed(2)}em"></span> ${count}</td></tr>`
  })
  return `<h3>${escapeHtml(name)}</h3><table class="bars">${bars.join('')}</table>`
}

function sampleOf(record: SampleRecord): string {
  const { input, output, reference, ...more } = record.shown ?? {}
  const scores = Object.entries(record.scores).flatMap(([metric, values]) =>
    Object.entries(values).map(
      ([name, value]) => `${metric}/${name} ${value === null ? 'unreadable' : number(value)}`,
    ),
  )
  const column = (title: string, content: string | undefined) =>
    content === undefined
      ? ''
      : `<div><h4>${escapeHtml(title)}</h4><pre>${escapeHtml(content.slice(0, SHOWN))}</pre></div>`
  const columns = [
    column('input', input ?? JSON.stringify(record.item, null, 1)),
    column('output', output),
    column('reference', reference),
    ...Object.entries(more).map(([title, content]) => column(title, content)),
  ]
  const error = record.error === null ? '' : `<p class="error">${escapeHtml(record.error)}</p>`
  return `<section><p>sample ${record.index}, ${record.ms} ms; ${escapeHtml(scores.join(', '))}</p>${error}<div class="columns">${columns.join('')}</div></section>`
}

function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return String(Math.round(value * 10_000) / 10_000)
}

function escapeHtml(value: unknown): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return String(value).replace(/[&<>"']/g, (char) => entities[char] ?? char)
}

const text = (html: string) => Buffer.from(html)
