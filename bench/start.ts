// SPDX-License-Identifier: Apache-2.0
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { type Bench, launch, median, type Row, until200, withFolder } from './lib.ts'

const ROUNDS = 3
const LIMIT_MS = 60_000

/** Time from the command to the first 200 of every health path, on a new data directory and on an existing one. */
export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const fresh: number[] = []
      const existing: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const home = await mkdtemp(join(dir, 'home-'))
        fresh.push(await startOnce(home))
        existing.push(await startOnce(home))
        console.log(`round ${round + 1}: new ${fresh.at(-1)} s, existing ${existing.at(-1)} s`)
      }
      const row = (name: string, values: number[], target: number): Row => ({
        name,
        value: median(values),
        unit: 's',
        target,
      })
      return [row('start.all_health_s', existing, 1.5), row('start.new_home_all_health_s', fresh, 6)]
    }),
}

async function startOnce(home: string): Promise<number> {
  const from = performance.now()
  const { urls, stop } = await launch(home)
  try {
    // The NIM's readiness is left out, since the model is loaded after the APIs answer.
    const paths = [
      ...['/health', '/v1/health', '/v1/health/live'].map((path) => urls.platform + path),
      ...['/health', '/v1/health', '/v1/health/ready'].map((path) => urls.dataStore + path),
      `${urls.platform}/v1/models`,
      `${urls.platform}/v1/customization/jobs`,
      `${urls.nim}/v1/health/live`,
      `${urls.nim}/v1/models`,
    ]
    await Promise.all(paths.map((url) => until200(url, LIMIT_MS)))
    return Math.round(performance.now() - from) / 1000
  } finally {
    await stop()
  }
}
