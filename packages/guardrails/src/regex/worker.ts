// SPDX-License-Identifier: Apache-2.0
import { parentPort } from 'node:worker_threads'

interface Job {
  id: number
  kind: 'test' | 'find'
  patterns: { source: string; flags: string }[]
  text: string
}

const MAX_FOUND = 10_000
const compiled = new Map<string, RegExp>()

function regexOf({ source, flags }: { source: string; flags: string }, all: boolean): RegExp {
  const key = `${all ? 'g' : ''}${flags}/${source}`
  let regex = compiled.get(key)
  if (!regex) {
    if (compiled.size > 1000) compiled.clear()
    regex = new RegExp(source, all ? `${flags}g` : flags)
    compiled.set(key, regex)
  }
  return regex
}

function run({ kind, patterns, text }: Job): unknown {
  if (kind === 'test') return patterns.flatMap((p, i) => (regexOf(p, false).test(text) ? [i] : []))
  const found: [number, number, number][] = []
  for (const [i, pattern] of patterns.entries()) {
    for (const match of text.matchAll(regexOf(pattern, true))) {
      if (match[0] !== '') found.push([i, match.index, match.index + match[0].length])
      if (found.length >= MAX_FOUND) return found
    }
  }
  return found
}

parentPort?.on('message', (job: Job) => {
  parentPort?.postMessage({ id: job.id, started: true })
  try {
    parentPort?.postMessage({ id: job.id, result: run(job) })
  } catch (err) {
    parentPort?.postMessage({ id: job.id, error: err instanceof Error ? err.message : String(err) })
  }
})
