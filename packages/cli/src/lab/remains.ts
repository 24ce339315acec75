// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { attempt } from './commands.ts'
import { leftRules, podNamespaces } from './network.ts'
import { containerdSocket } from './node.ts'

/** Folders that Kubernetes' programs use whatever they are told. */
const FIXED = ['/var/lib/kubelet', '/var/log/containers', '/var/lib/cni']

/** Ends the containers of a lab and takes back their mounts, namespaces and control groups. */
export async function removeLeftovers(dir: string): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const alive = [...(await containerProcesses()), ...(await shims(dir))]
    if (alive.length === 0) break
    for (const pid of alive) end(pid)
    await sleep(100)
  }
  for (const path of await mountsBelow(dir)) await attempt('umount', '--lazy', path)
  for (const name of await podNamespaces()) {
    await attempt('umount', '--lazy', join('/run/netns', name))
    await rm(join('/run/netns', name), { force: true })
  }
  for (const root of await podGroups()) await removeGroups(root)
  const before = JSON.parse(await readFile(join(dir, 'before.json'), 'utf8').catch(() => '[]')) as string[]
  for (const path of FIXED.filter((path) => !before.includes(path))) {
    await rm(path, { recursive: true, force: true })
  }
}

/** Mount points of pods and containers, innermost first. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8')
  const paths = text.split('\n').flatMap((line) => line.split(' ')[4] ?? [])
  return paths.filter((path) => path.startsWith(`${dir}/`)).reverse()
}

/** Processes of the runtime that stand between containerd and containers, told by their socket. */
export async function shims(dir: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const line = await readFile(join('/proc', name, 'cmdline'), 'utf8').catch(() => '')
    const words = line.split('\0')
    if (words[0]?.includes('containerd-shim') && words.includes(containerdSocket(dir)))
      found.push(Number(name))
  }
  return found
}

/** Every process inside a pod. */
export async function containerProcesses(): Promise<number[]> {
  const found = new Set<number>()
  for (const root of await podGroups()) await collect(root, found)
  return [...found]
}

/** kubelet's control group in each hierarchy: there are many with cgroup v1. */
async function podGroups(): Promise<string[]> {
  const base = '/sys/fs/cgroup'
  const names = await readdir(base).catch(() => [] as string[])
  const roots: string[] = []
  for (const folder of ['', ...names]) {
    const path = join(base, folder, 'kubepods')
    if (await readdir(path).catch(() => undefined)) roots.push(path)
  }
  return roots
}

async function collect(group: string, found: Set<number>): Promise<void> {
  const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '')
  for (const pid of text.split('\n').filter(Boolean)) found.add(Number(pid))
  for (const inner of await inside(group)) await collect(inner, found)
}

async function removeGroups(group: string): Promise<void> {
  for (const inner of await inside(group)) await removeGroups(inner)
  await rmdir(group).catch(() => undefined)
}

async function inside(group: string): Promise<string[]> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(group, entry.name))
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** Everything of a lab that is on the machine: empty after `down`. State in its folder does not count. */
export async function labRemains(dir: string): Promise<string[]> {
  const pids = [...(await containerProcesses()), ...(await shims(dir)), ...(await processesOf(dir))]
  const links = ((await attempt('ip', '-brief', 'link')) ?? '').split('\n')
  return [
    ...pids.map((pid) => `process ${pid}`),
    ...(await mountsBelow(dir)).map((path) => `mount ${path}`),
    ...links.filter((line) => /^(nemo-|veth)/.test(line)).map((line) => `link ${line.split(/[ @]/)[0]}`),
    ...(await leftRules()).map((rule) => `rule ${rule}`),
    ...(await podNamespaces()).map((name) => `network namespace ${name}`),
    ...(await podGroups()).map((path) => `control group ${path}`),
  ]
}

/** Processes that name the lab's folder in their command line. */
async function processesOf(dir: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    const line = await readFile(join('/proc', name, 'cmdline'), 'utf8').catch(() => '')
    if (line.includes(`${dir}/`)) found.push(Number(name))
  }
  return found
}
