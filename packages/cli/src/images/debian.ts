// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, runCommand } from '@open-nemo/runtime/python/index.ts'
import type { LayerSpec } from './layer.ts'
import type { LayerFiles } from './tar.ts'

const SUITE = 'bookworm'
/** Rises when this file changes what a layer of packages holds. */
const RECIPE = 1
const ACCOUNTS = {
  passwd: [
    'root:x:0:0:root:/root:/usr/sbin/nologin',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    'nemo:x:1000:0:nemo:/tmp:/usr/sbin/nologin',
  ],
  group: ['root:x:0:', 'nogroup:x:65534:'],
}

/** Files of packages that nothing in a container reads. */
const UNUSED =
  /^(usr\/share\/(doc|man|info|locale|lintian|bug|bash-completion|zsh|gdb|perl5\/debian|common-licenses\/none)|var\/(lib\/(apt|dpkg\/info)|cache|log)|usr\/lib\/(systemd|udev)|etc\/(systemd|init\.d|cron\..*|apt|dpkg)|lib\/(systemd|udev)|boot|dev|proc|sys|run|tmp|media|mnt|srv|home)(\/|$)/

export interface DebianOptions {
  name: string
  packages: string[]
  /** Further paths to leave out. */
  skip?: (path: string) => boolean
  /** More than the packages' files. */
  more?: (files: LayerFiles) => void | Promise<void>
  passwd?: string[]
  group?: string[]
  needBytes?: number
}

/** A layer of Debian packages with all they depend on, unpacked without running their install scripts. */
export function debianLayer(options: DebianOptions): LayerSpec {
  const { name, packages, passwd = [], group = [] } = options
  return {
    name,
    key: JSON.stringify([RECIPE, SUITE, packages, passwd, group, process.arch, String(options.more ?? '')]),
    needBytes: options.needBytes ?? 1e9,
    build: async (files, tmp, tell) => {
      tell({ message: `unpacking Debian packages: ${packages.join(' ')}` })
      const root = join(tmp, 'root')
      await extract(packages, root, tmp)
      await files.copy(root, '/', { skip: (path) => UNUSED.test(path) || (options.skip?.(path) ?? false) })
      for (const folder of ['dev', 'proc', 'sys', 'run', 'var/log']) files.folder(folder)
      files.folder('tmp', { writable: true })
      files.file('etc/passwd', `${[...ACCOUNTS.passwd, ...passwd].join('\n')}\n`)
      files.file('etc/group', `${[...ACCOUNTS.group, ...group].join('\n')}\n`)
      files.file('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n')
      await certificates(files, root)
      await options.more?.(files)
    },
  }
}

async function extract(packages: string[], root: string, tmp: string): Promise<void> {
  const hooks = '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr'
  const args = ['--quiet', '--variant=extract', hooks, `--include=${packages.join(',')}`, SUITE, root]
  const sources = await ownSources()
  if (sources) {
    const file = join(tmp, 'sources.list')
    await writeFile(file, sources)
    args.push(file)
  }
  try {
    await runCommand('mmdebstrap', args, { env: process.env })
  } catch (cause) {
    if (cause instanceof CommandError) throw cause
    throw new Error('mmdebstrap is missing: `apt-get install mmdebstrap` brings it', { cause })
  }
}

/** The suite's lines for the mirrors that this machine itself uses; undefined when it uses none for this suite. */
async function ownSources(): Promise<string | undefined> {
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)'
  const text = await runCommand('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    env: process.env,
  }).catch(() => '')
  const lines = text.split('\n').flatMap((line) => {
    const [uri, release = '', component] = line.split(' ')
    if (!release.startsWith(SUITE) || component !== 'main') return []
    return [`deb ${uri} ${release} main`]
  })
  const own = [...new Set(lines)]
  return own.some((line) => line.includes(` ${SUITE} main`)) ? `${own.join('\n')}\n` : undefined
}

/** The CA bundle that ca-certificates' install script would make. */
async function certificates(files: LayerFiles, root: string): Promise<void> {
  const folder = join(root, 'usr/share/ca-certificates/mozilla')
  if (!existsSync(folder)) return
  const parts: Buffer[] = []
  for (const name of (await readdir(folder)).sort()) parts.push(await readFile(join(folder, name)))
  files.file('etc/ssl/certs/ca-certificates.crt', Buffer.concat(parts))
}
