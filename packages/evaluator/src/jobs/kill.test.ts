// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Body } from '../testing/harness.ts'

const CHILD = fileURLToPath(new URL('../testing/kill-child.ts', import.meta.url))
const SAMPLES = 60
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemo-eval-kill-'))
  await mkdir(join(folder, 'data'))
})
after(() => rm(folder, { recursive: true, force: true }))

/** Runs the child until it ends, or kills it with SIGKILL after so many questions. Gives what it said. */
async function run(killAfter = Number.POSITIVE_INFINITY): Promise<Body[]> {
  const args = ['--no-warnings', CHILD, join(folder, 'pg'), join(folder, 'data'), String(SAMPLES)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const said: Body[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(JSON.parse(line))
    if (said.filter((one) => one.asked).length >= killAfter) child.kill('SIGKILL')
  }
  return said
}

test('a job of a service killed with SIGKILL goes on at the next sample and scores the same', {
  timeout: 60_000,
}, async () => {
  const first = await run(20)
  const second = await run(20)
  const last = await run()
  const end = last.at(-1)
  assert.equal(end.job.status, 'completed')
  assert.equal(end.job.status_details.samples_processed, SAMPLES)
  assert.deepEqual(
    [second, last].map((said) => said.find((one) => 'isNew' in one)?.isNew),
    [false, false],
  )
  const asked = [first, second, last].flat().flatMap((one) => one.asked ?? [])
  assert.equal(new Set(asked).size, SAMPLES)
  // What was on its way when the process was killed is asked again, and nothing else.
  assert.ok(asked.length <= SAMPLES + 2 * 12, `${asked.length} questions for ${SAMPLES} samples`)
  assert.ok(last.filter((one) => one.asked).length <= SAMPLES - 2 * 10, 'most were recorded before')
  const { check, bleu } = end.result.tasks.qa.metrics
  assert.deepEqual(
    [check.scores['string-check'].value, check.scores['string-check'].stats.count],
    [0.5, SAMPLES],
  )
  assert.equal(Math.round(bleu.scores.sentence.value), 50)
  assert.equal(bleu.scores.corpus.value, 0)
})
