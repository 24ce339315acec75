// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '@open-nemo/runtime/python/index.ts'
import { type Bench, pythonWith, ROOT, type Running, withFolder, withPlatform } from './lib.ts'

const HUB = 'huggingface_hub==0.34.4'

/** 1 GB up and down, and 10,000 files in one commit, with stock huggingface_hub. */
export const bench: Bench = {
  run: async () => {
    const python = await pythonWith('hub-0.34.4', [HUB])
    return withPlatform((running) =>
      withFolder(async (work) => {
        await mkdir(join(work, 'hf'))
        const before = await memory(running)
        let peak = before
        const watch = setInterval(async () => {
          peak = Math.max(peak, await memory(running).catch(() => 0))
        }, 200)
        const script = join(ROOT, 'bench', 'python', 'hub_transfer.py')
        const out = await runCommand(python, [script, running.urls.dataStore, work], { env: process.env })
        clearInterval(watch)
        const seen = JSON.parse(out.trim().split('\n').at(-1) ?? '{}') as Record<string, number>
        const row = (key: string, unit: string, target: number) => ({
          name: `data_store.${key}`,
          value: Number(seen[key]?.toFixed(2)),
          unit,
          target,
        })
        return [
          row('upload_mb_s', 'MB/s', 400),
          row('download_mb_s', 'MB/s', 400),
          row('commit_10000_files_s', 's', 5),
          { name: 'data_store.rss_growth_mb', value: Math.round(peak - before), unit: 'MB', target: 150 },
        ]
      }),
    )
  },
}

/** Resident memory of the platform's process in MB; NaN where there is no /proc. */
async function memory(running: Running): Promise<number> {
  const status = await readFile(`/proc/${await running.pid()}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1000
}
