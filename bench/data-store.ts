// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '@open-nemo/runtime/python/index.ts'
import { type Bench, pythonWith, ROOT, type Row, type Running, withFolder, withPlatform } from './lib.ts'

const HUB = 'huggingface_hub==0.34.4'
const SCRIPT = join(ROOT, 'bench', 'python', 'hub_transfer.py')
const PEER = 'the same client with a bare node:http server that throws away and sends a file'
const MB = 1e6

/** 1 GB up and down, and 10,000 files in one commit, with stock huggingface_hub; and what the client and the disk allow. */
export const bench: Bench = {
  run: async () => {
    const python = await pythonWith('hub-0.34.4', [HUB])
    const transfer = async (
      url: string,
      work: string,
      ...more: string[]
    ): Promise<Record<string, number>> => {
      const out = await runCommand(python, [SCRIPT, url, work, ...more], { env: process.env })
      return JSON.parse(out.trim().split('\n').at(-1) ?? '{}')
    }
    return withPlatform((running) =>
      withFolder(async (work) => {
        await mkdir(join(work, 'hf'))
        const before = await memory(running)
        let peak = before
        const watch = setInterval(async () => {
          peak = Math.max(peak, await memory(running).catch(() => 0))
        }, 200)
        const ours = await transfer(`${running.urls.dataStore}/v1/hf`, work)
        clearInterval(watch)
        const peer = await withPeer(join(work, 'large.bin'), (url) => transfer(url, work, 'large'))
        return [
          beside(ours, peer, 'upload_mb_s'),
          beside(ours, peer, 'download_mb_s'),
          row('commit_10000_files_s', ours.commit_10000_files_s, { unit: 's', target: 5 }),
          row('rss_growth_mb', Math.round(peak - before), { unit: 'MB', target: 150 }),
          // An upload is on the disk before it is acknowledged.
          row('disk_mb_s', await diskRate(join(work, 'disk.bin')), { unit: 'MB/s' }),
        ]
      }),
    )
  },
}

function row(name: string, value: number | undefined, rest: { unit: string; target?: number }): Row {
  return { name: `data_store.${name}`, value: Number(value?.toFixed(2)), ...rest }
}

function beside(ours: Record<string, number>, peer: Record<string, number>, name: string): Row {
  const [mine = Number.NaN, theirs = Number.NaN] = [ours[name], peer[name]]
  return {
    ...row(name, mine, { unit: 'MB/s', target: 400 }),
    peer: PEER,
    peer_value: Number(theirs.toFixed(2)),
    ratio: Number((mine / theirs).toFixed(2)),
  }
}

/** Runs `work` beside the server of data-store-peer.ts, which gives back the file `source`. */
async function withPeer<T>(source: string, work: (url: string) => Promise<T>): Promise<T> {
  const main = join(ROOT, 'bench', 'data-store-peer.ts')
  const child = spawn(process.execPath, [main, source], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [port] = (await once(child.stdout, 'data')) as [Buffer]
    return await work(`http://127.0.0.1:${Number(port.toString())}`)
  } finally {
    child.kill()
  }
}

/** MB/s of 1 GB written and synced. */
async function diskRate(path: string): Promise<number> {
  const block = Buffer.alloc(4 * 1024 * 1024, 'x')
  const begun = performance.now()
  const file = await open(path, 'w')
  let bytes = 0
  try {
    while (bytes < 1000 * MB) bytes += (await file.write(block)).bytesWritten
    await file.datasync()
  } finally {
    await file.close()
  }
  const seconds = (performance.now() - begun) / 1000
  await rm(path)
  return bytes / MB / seconds
}

/** Resident memory of the platform's process in MB; NaN where there is no /proc. */
async function memory(running: Running): Promise<number> {
  const status = await readFile(`/proc/${await running.pid()}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1000
}
