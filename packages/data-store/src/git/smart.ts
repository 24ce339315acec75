// SPDX-License-Identifier: Apache-2.0
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startGit } from './run.ts'

/** What git asks of a server: `upload-pack` gives objects out, `receive-pack` takes them in. */
export type PackService = 'upload-pack' | 'receive-pack'

// Everything but branches and tags is the hub's own: pull requests are opened through its API.
const UPLOAD = ['uploadpack.allowFilter=true', 'uploadpack.allowAnySHA1InWant=false']
const RECEIVE = [
  'transfer.fsckObjects=true',
  // stronger than the one above, which a repository's own settings would outdo
  'receive.fsckObjects=true',
  'receive.autogc=false',
  'receive.updateServerInfo=false',
  'receive.advertisePushOptions=false',
  'receive.denyDeletes=false',
  'receive.denyDeleteCurrent=refuse',
  'receive.unpackLimit=1',
  'receive.hideRefs=refs/pr',
]

interface LfsSizes {
  size(oid: string): Promise<number | undefined>
}

/**
 * Starts git's side of a fetch or push. `protocol` is the client's Git-Protocol header; `hooks` is the folder that
 * makePushCheck made, without which a push is not checked.
 */
export function startPack(
  gitDir: string,
  service: PackService,
  options: { advertise: boolean; protocol?: string | undefined; hooks: string; lfs: LfsSizes },
): ChildProcessWithoutNullStreams {
  const settings = service === 'receive-pack' ? [...RECEIVE, `core.hooksPath=${options.hooks}`] : UPLOAD
  const args = [service, '--stateless-rpc', ...(options.advertise ? ['--advertise-refs'] : []), gitDir]
  const known = options.protocol !== undefined && /^[a-z0-9=:.-]{1,64}$/.test(options.protocol)
  const channel = service === 'receive-pack' && !options.advertise
  const child = startGit(gitDir, args, {
    settings,
    env: known ? { GIT_PROTOCOL: options.protocol } : {},
    channel,
  })
  if (channel) answerHook(child, options.lfs)
  // What clients are to know comes on standard output; a pipe that nobody reads would stop git.
  child.stderr.resume()
  return child
}

/**
 * Tells the hook which LFS objects are here: it runs in a process of its own, and neither knows where they are kept nor
 * gets the keys for it. A line is an id; the answer is the id and its size, `-` for none, or `?` for a failure.
 */
function answerHook(child: ChildProcessWithoutNullStreams, lfs: LfsSizes): void {
  const channel = child.stdio[3] as Socket
  channel.on('error', () => {})
  child.once('close', () => channel.destroy())
  createInterface({ input: channel }).on('line', async (oid) => {
    const size = await lfs.size(oid).catch(() => '?')
    if (!channel.destroyed) channel.write(`${oid} ${size ?? '-'}\n`)
  })
}

/** The first line of an advertisement over HTTP, as a packet, and the flush that ends it. */
export function announcement(service: PackService): string {
  const line = `# service=git-${service}\n`
  return `${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`
}

/** Writes the hook that checks what is pushed into `dir`, and gives the folder that git is to look in. */
export async function makePushCheck(dir: string): Promise<string> {
  const hooks = join(dir, 'hooks')
  await mkdir(hooks, { recursive: true })
  const script = JSON.stringify(new URL('./pre-receive.ts', import.meta.url).href)
  const hook = join(hooks, 'pre-receive')
  await writeFile(hook, `#!${process.execPath}\nimport(${script})\n`)
  await chmod(hook, 0o755)
  return hooks
}
