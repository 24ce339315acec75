// SPDX-License-Identifier: Apache-2.0
import { createReadStream, existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { collected } from '@open-nemo/contract/data-store/schemas.ts'
import { readLock } from '@open-nemo/runtime'
import { homePaths, type PlatformConfig } from '../platform/config.ts'

/** `nemoctl down`: ends the platform that holds NEMO_HOME and waits until it is gone. Returns the exit code. */
export async function down(config: PlatformConfig): Promise<number> {
  const { lock } = homePaths(config.home)
  const holder = await readLock(lock)
  if (!holder) {
    console.log(`Nothing runs on ${config.home}.`)
    return 0
  }
  process.kill(holder.pid, 'SIGTERM')
  for (let waited = 0; waited < 12_000; waited += 100) {
    await sleep(100)
    if (!(await readLock(lock))) {
      console.log('Stopped.')
      return 0
    }
  }
  console.error(
    `Process ${holder.pid} has not ended within 12 s; \`kill -9 ${holder.pid}\` loses nothing acknowledged.`,
  )
  return 1
}

/** `nemoctl status`: what runs on NEMO_HOME, and the state of each service. Returns 0 when all are ready. */
export async function status(config: PlatformConfig): Promise<number> {
  const holder = await readLock(homePaths(config.home).lock)
  if (!holder) {
    console.log(`Nothing runs on ${config.home}. Start it with \`nemoctl up\`.`)
    return 3
  }
  const urls = holder.info.urls as Record<string, string> | undefined
  console.log(`Process ${holder.pid} since ${holder.since} on ${config.home}`)
  for (const [name, url] of Object.entries(urls ?? {})) console.log(`  ${name.padEnd(10)} ${url}`)
  if (!urls?.platform) return 1
  const res = await fetch(`${urls.platform}/v1/health/ready`)
  const { services } = (await res.json()) as { services: Record<string, string> }
  for (const [name, state] of Object.entries(services)) console.log(`  ${name.padEnd(14)} ${state}`)
  return res.ok ? 0 : 1
}

/**
 * `nemoctl collect-garbage`: lets the data store remove what nothing reaches any more, at `url` or of the platform that
 * holds NEMO_HOME. Returns the exit code.
 */
export async function collectGarbage(config: PlatformConfig, url: string | undefined): Promise<number> {
  const holder = await readLock(homePaths(config.home).lock)
  const urls = holder?.info.urls as Record<string, string> | undefined
  const base = url ?? urls?.dataStore
  if (!base) {
    console.error(`Nothing runs on ${config.home}. Start it with \`nemoctl up\`, or give --url.`)
    return 3
  }
  const answer = await fetch(new URL('/v1/datastore/collect', base), { method: 'POST' }).catch((err) => {
    console.error(`The data store at ${base} does not answer: ${err.cause?.message ?? err.message}`)
  })
  if (!answer) return 1
  const body = await answer.text()
  if (!answer.ok) {
    console.error(`The data store at ${base} answered ${answer.status}: ${body.slice(0, 500)}`)
    return 1
  }
  const freed = collected.parse(JSON.parse(body))
  console.log(
    `Looked at ${freed.repositories} repositories: removed ${freed.lfs_objects} LFS objects ` +
      `(${freed.lfs_bytes} bytes) and ${freed.git_objects} git objects.`,
  )
  return 0
}

/** `nemoctl logs`: prints the platform's log, one line for people per record; `follow` goes on as it grows. */
export async function logs(
  config: PlatformConfig,
  options: { follow: boolean; json: boolean },
): Promise<void> {
  const { log } = homePaths(config.home)
  if (!existsSync(log)) throw new Error(`no log at ${log}: start the platform with \`nemoctl up\``)
  let from = 0
  do {
    const { size } = await stat(log)
    // A shorter file is a new one.
    if (size < from) from = 0
    if (size > from) {
      const lines = createInterface({ input: createReadStream(log, { start: from, end: size - 1 }) })
      for await (const line of lines) console.log(options.json ? line : forPeople(line))
      from = size
    } else if (options.follow) await sleep(300)
  } while (options.follow)
}

function forPeople(line: string): string {
  try {
    const { time, level, service, msg, name: _n, pid: _p, hostname: _h, ...rest } = JSON.parse(line)
    const more = Object.keys(rest).length ? ` ${JSON.stringify(rest)}` : ''
    return `${time} ${String(level).toUpperCase().padEnd(5)} ${service ?? 'platform'}: ${msg}${more}`
  } catch {
    return line
  }
}
