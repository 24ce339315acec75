// SPDX-License-Identifier: Apache-2.0

/**
 * Speaks the trainer's protocol without training, for tests: `node fake-trainer.ts WORKDIR`.
 * FAKE_STEP_MS is the time of a step, FAKE_FAIL ends it with a `failed` event, FAKE_EXIT with that code and no event,
 * FAKE_STUBBORN ignores SIGTERM.
 */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const workdir = process.argv[2] ?? '.'
const job = JSON.parse(readFileSync(join(workdir, 'job.json'), 'utf8'))
const { epochs, batch_size, log_every_n_steps } = job.hyperparameters
const stepMs = Number(process.env.FAKE_STEP_MS ?? 5)
const checkpoint = join(workdir, 'checkpoints', 'step')

const emit = (event: string, fields: Record<string, unknown> = {}) =>
  appendFileSync(
    join(workdir, 'events.jsonl'),
    `${JSON.stringify({ t: new Date().toISOString(), event, ...fields })}\n`,
  )
const rowsOf = (paths: string[]) =>
  paths.reduce((n, path) => n + readFileSync(path, 'utf8').split('\n').filter(Boolean).length, 0)

process.on('SIGTERM', () => {
  if (!process.env.FAKE_STUBBORN) process.exit(143)
})
process.stdout.write(`fake trainer of ${job.job_id}\n`)
if (process.env.FAKE_EXIT) process.exit(Number(process.env.FAKE_EXIT))

const rows = rowsOf(job.training_files)
const perEpoch = Math.ceil(rows / batch_size)
const total = perEpoch * epochs
mkdirSync(join(workdir, 'checkpoints'), { recursive: true })
let resumed = 0
try {
  resumed = Number(readFileSync(checkpoint, 'utf8'))
} catch {
  // The first run.
}
emit('started', {
  steps_total: total,
  steps_per_epoch: perEpoch,
  train_rows: rows,
  validation_rows: rowsOf(job.validation_files),
  resumed_from_step: resumed,
})
if (process.env.FAKE_FAIL) {
  emit('failed', { code: 'invalid_data', message: process.env.FAKE_FAIL, detail: 'traceback' })
  process.exit(1)
}
for (let step = resumed + 1; step <= total; step++) {
  await sleep(stepMs)
  const loss = step % log_every_n_steps === 0 ? { train_loss: 4 / step } : {}
  emit('progress', { step, steps_total: total, epochs_completed: Math.floor(step / perEpoch), ...loss })
  writeFileSync(checkpoint, String(step))
  if (step % perEpoch === 0) emit('validation', { step, val_loss: 5 / step })
}
const output = join(workdir, 'output')
mkdirSync(output, { recursive: true })
if (job.hyperparameters.finetuning_type === 'lora') {
  writeFileSync(join(output, 'adapter_config.json'), JSON.stringify({ base_model: job.base_model }))
  writeFileSync(join(output, 'adapter_model.safetensors'), 'weights')
} else {
  writeFileSync(join(output, 'model.safetensors'), 'weights')
}
emit('completed', { best_epoch: epochs, best_step: total, train_loss: 0.5, val_loss: 0.6, steps: total })
