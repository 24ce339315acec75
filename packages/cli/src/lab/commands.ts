// SPDX-License-Identifier: Apache-2.0
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { CommandError, runCommand } from '@open-nemo/runtime/python/index.ts'
import { LabError } from './processes.ts'

/** What the lab takes from Debian: the command that is looked for, and the package that brings it. */
const PACKAGES: Record<string, string> = {
  containerd: 'containerd',
  runc: 'runc',
  ip: 'iproute2',
  iptables: 'iptables',
  conntrack: 'conntrack',
  mmdebstrap: 'mmdebstrap',
  openssl: 'openssl',
  socat: 'socat',
  ethtool: 'ethtool',
  mount: 'mount',
  gcc: 'gcc',
  nm: 'binutils',
}
/** Where Debian's containernetworking-plugins puts them. */
export const CNI_BIN = '/usr/lib/cni'
const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Runs a command of the system and gives what it printed. */
export function sh(command: string, ...args: string[]): Promise<string> {
  return runCommand(command, args, { env: { ...process.env, PATH: systemPath() } })
}

/** The same where a failure means that there is nothing to do. */
export async function attempt(command: string, ...args: string[]): Promise<string | undefined> {
  try {
    return await sh(command, ...args)
  } catch (error) {
    if (error instanceof CommandError) return undefined
    throw error
  }
}

/** A PATH that also finds what only root uses. */
export const systemPath = (): string => [process.env.PATH ?? '', ...FOLDERS].join(delimiter)

/** Installs the Debian packages that are missing. Throws LabError on a system where that is not possible. */
export async function ensurePackages(onProgress: Progress): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new LabError('the lab needs Linux and root, since it makes network links and mounts')
  }
  const missing: string[] = []
  for (const [command, name] of Object.entries(PACKAGES)) if (!(await find(command))) missing.push(name)
  if (!(await exists(join(CNI_BIN, 'bridge')))) missing.push('containernetworking-plugins')
  if (missing.length === 0) return
  if (!(await find('apt-get'))) {
    throw new LabError(`install ${missing.join(', ')} first: this system has no apt-get to do it with`)
  }
  onProgress({ message: `installing Debian packages: ${missing.join(' ')}` })
  await attempt('apt-get', 'update', '-q')
  await runCommand('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  })
}

async function find(command: string): Promise<string | undefined> {
  for (const folder of systemPath().split(delimiter)) {
    if (folder && (await exists(join(folder, command)))) return join(folder, command)
  }
  return undefined
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
