// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { ensureTrainerEnvironment, runCommand } from '@open-nemo/runtime/python/index.ts'
import { fetchCorpus, questions, split, toJsonl } from '../packages/cli/src/demo/corpus.ts'
import { type Bench, CACHE, ROOT, withFolder } from './lib.ts'

const ROWS = 96

/** Rows per second of the trainer, and of a plain TRL script on the same rows, seed, threads and precision. */
export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const catalogue = await loadCatalogue({ env: process.env, home: CACHE, cacheDir: CACHE })
      const model = catalogue.models.find((each) => each.kind === 'gguf')
      if (!model) throw new Error('the catalogue holds no GGUF model')
      const checkpoint = await catalogue.ensureCheckpoint(model)
      const trainer = await ensureTrainerEnvironment(CACHE)
      const env = { ...process.env, ...trainer.env, OMP_WAIT_POLICY: 'passive' }

      const work = join(dir, 'job')
      await mkdir(work)
      const rows = join(dir, 'rows.jsonl')
      const pairs = questions(await fetchCorpus(CACHE, process.env))
      await writeFile(rows, toJsonl(split(pairs, { training: ROWS, validation: 0, heldOut: 0 }).training))
      const template = join(dir, 'chat.jinja')
      await writeFile(template, await catalogue.template(model))
      const job = {
        job_id: 'bench',
        model_dir: checkpoint.dir,
        chat_template_file: template,
        training_files: [rows],
        validation_files: [],
        prompt_template: '{prompt} {completion}',
        max_seq_length: 512,
        seed: 42,
        threads: Math.max(1, availableParallelism()),
        hyperparameters: {
          epochs: 1,
          batch_size: 8,
          learning_rate: 5e-4,
          log_every_n_steps: 1,
          lora: {
            adapter_dim: 8,
            alpha: 16,
            target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
          },
        },
      }
      await writeFile(join(work, 'job.json'), JSON.stringify(job))
      await runCommand(trainer.python, ['-m', 'nemo_trainer', work], { env })
      const ours = await ownRate(work)
      console.log(`trainer: ${ours.rate.toFixed(2)} rows/s, ${ours.precision}`)

      const peerJob = join(dir, 'peer.json')
      await writeFile(peerJob, JSON.stringify({ ...job, bf16: ours.precision.startsWith('bf') }))
      const script = join(ROOT, 'bench', 'python', 'trl_peer.py')
      const out = await runCommand(trainer.python, [script, peerJob], { env })
      const peer = JSON.parse(out.trim().split('\n').at(-1) ?? '{}') as { rows_per_s: number }
      const two = (value: number) => Math.round(value * 100) / 100
      return [
        {
          name: 'trainer.rows_per_s',
          value: two(ours.rate),
          unit: 'rows/s',
          target: two(0.95 * peer.rows_per_s),
          peer: 'plain TRL script',
          peer_value: two(peer.rows_per_s),
          ratio: two(ours.rate / peer.rows_per_s),
        },
      ]
    }),
}

/** From the events: the time between the start of training and the last step, loading left out. */
async function ownRate(work: string): Promise<{ rate: number; precision: string }> {
  const lines = (await readFile(join(work, 'events.jsonl'), 'utf8')).trim().split('\n')
  const events = lines.map((line) => JSON.parse(line) as { event: string; t: string; precision?: string })
  const start = events.find((each) => each.event === 'started')
  const last = events.findLast((each) => each.event === 'progress')
  if (!start || !last) throw new Error('the trainer reported no step')
  const seconds = (Date.parse(last.t) - Date.parse(start.t)) / 1000
  return { rate: ROWS / seconds, precision: start.precision ?? 'unknown' }
}
