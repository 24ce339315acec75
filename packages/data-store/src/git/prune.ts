// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../storage/fsync.ts'
import { BARE_CONFIG } from './fast-import.ts'
import { git } from './run.ts'

/** Files of ours: deltas are not looked for, since files of data sets and models have little in common. */
const PACKING = ['-q', '--non-empty', '--window=0', '--depth=0']
/** What a killed git leaves among the packs. */
const LEFTOVER = /^(tmp_|\.tmp-)/

/**
 * The removal of a repository's objects that no ref reaches, in two halves. `prepare` packs what stays; it takes as long
 * as the repository is large, and commits and pushes go on meanwhile. `finish` takes away the old packs, while nothing
 * else happens in the repository; it takes as long as what has come since. What is reachable is on the disk at any moment.
 */
export class Prune {
  readonly #gitDir: string
  readonly #time: number
  /** A folder that does not exist yet. */
  readonly #scratch: string
  #tips: string[] = []
  #old = new Set<string>()
  #fresh = new Set<string>()

  private constructor(gitDir: string, options: { time: number; scratch: string }) {
    this.#gitDir = gitDir
    this.#time = options.time
    this.#scratch = options.scratch
  }

  /** Packs what is reachable now, and what is not but was touched since `time` (milliseconds since 1970). */
  static async prepare(gitDir: string, options: { time: number; scratch: string }): Promise<Prune> {
    const prune = new Prune(gitDir, options)
    try {
      await prune.#pack()
      return prune
    } catch (err) {
      await prune.abandon()
      throw err
    }
  }

  /**
   * Takes the rest away, for the caller who keeps everybody else out. False, with nothing taken, when a ref has come to
   * reach an object that would go.
   */
  async finish(): Promise<boolean> {
    const since = await this.#reachedSince()
    if (since.length > 0 && !(await this.#stay(since))) {
      await this.abandon()
      return false
    }
    const folder = join(this.#gitDir, 'objects', 'pack')
    const doomed = [...this.#old].filter((pack) => !this.#fresh.has(pack))
    // An index goes before its pack: one without the other would be an error, the other without the one is nothing.
    for (const pack of doomed) await rm(join(folder, `${pack}.idx`), { force: true })
    await removeStrays(folder)
    await syncFolder(folder)
    // After the packs, since a loose object counts as packed while they are there.
    await git(this.#gitDir, ['prune-packed', '-q'])
    await this.#removeLoose(new Set(since))
    return true
  }

  /** Takes the new packs away again. */
  async abandon(): Promise<void> {
    const folder = join(this.#gitDir, 'objects', 'pack')
    for (const pack of this.#fresh) {
      if (this.#old.has(pack)) continue
      for (const end of ['idx', 'pack', 'rev', 'mtimes'])
        await rm(join(folder, `${pack}.${end}`), { force: true })
    }
  }

  async #pack(): Promise<void> {
    const gitDir = this.#gitDir
    this.#tips = lines(await git(gitDir, ['for-each-ref', '--format=%(objectname)']))
    this.#old = await packs(gitDir)
    const base = join(gitDir, 'objects', 'pack', 'pack')
    const pack = async (args: string[], input = '') => {
      const made = lines(await git(gitDir, ['pack-objects', ...args, ...PACKING, base], input))
      for (const id of made) this.#fresh.add(`pack-${id}`)
    }
    await pack(['--all'])
    // Packs that are in neither list came meanwhile; git leaves them alone.
    const stays = [...this.#fresh].map((name) => `${name}.pack\n`)
    const goes = [...this.#old].filter((name) => !this.#fresh.has(name)).map((name) => `-${name}.pack\n`)
    const until = new Date(this.#time).toISOString()
    await pack(['--cruft', `--cruft-expiration=${until}`], [...stays, ...goes].join(''))
  }

  /** Objects that refs reach now and did not reach when the packing began. */
  async #reachedSince(): Promise<string[]> {
    const args = ['rev-list', '--objects', '--no-object-names', '--all', '--stdin']
    return lines(await git(this.#gitDir, args, this.#tips.map((tip) => `^${tip}\n`).join('')))
  }

  /** Whether all of these are in packs that stay, or loose. */
  async #stay(oids: readonly string[]): Promise<boolean> {
    const objects = join(this.#gitDir, 'objects')
    const seen = join(this.#scratch, 'objects', 'pack')
    try {
      for (const dir of [seen, join(this.#scratch, 'refs')]) await mkdir(dir, { recursive: true })
      await writeFile(join(this.#scratch, 'HEAD'), 'ref: refs/heads/main\n')
      await writeFile(join(this.#scratch, 'config'), BARE_CONFIG)
      for (const pack of await packs(this.#gitDir)) {
        if (this.#old.has(pack) && !this.#fresh.has(pack)) continue
        for (const end of ['pack', 'idx'])
          await symlink(join(objects, 'pack', `${pack}.${end}`), join(seen, `${pack}.${end}`))
      }
      const found = await git(this.#scratch, ['cat-file', '--batch-check'], `${oids.join('\n')}\n`)
      for (const line of lines(found)) {
        const [oid = '', state] = line.split(' ')
        if (state === 'missing' && !(await stat(loosePath(objects, oid)).catch(() => undefined))) return false
      }
      return true
    } finally {
      await rm(this.#scratch, { recursive: true, force: true })
    }
  }

  /** Loose objects that are in no pack were reachable neither before nor since, unless they are young. */
  async #removeLoose(reached: ReadonlySet<string>): Promise<void> {
    const objects = join(this.#gitDir, 'objects')
    for (const folder of await readdir(objects)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue
      for (const name of await readdir(join(objects, folder))) {
        const path = join(objects, folder, name)
        const isOld = (await stat(path)).mtimeMs < this.#time
        if (isOld && !reached.has(folder + name)) await rm(path, { force: true })
      }
    }
  }
}

/** Names of packs that git sees, without their endings. */
async function packs(gitDir: string): Promise<Set<string>> {
  const names = await readdir(join(gitDir, 'objects', 'pack'))
  return new Set(names.flatMap((name) => (name.endsWith('.idx') ? [name.slice(0, -4)] : [])))
}

/** Packs without an index, and what a killed git left. */
async function removeStrays(folder: string): Promise<void> {
  const names = new Set(await readdir(folder))
  for (const name of names) {
    const pack = /^(pack-[0-9a-f]+)\.(pack|rev|mtimes|bitmap)$/.exec(name)?.[1]
    const isStray = pack ? !names.has(`${pack}.idx`) : LEFTOVER.test(name)
    if (isStray) await rm(join(folder, name), { force: true })
  }
}

const loosePath = (objects: string, oid: string) => join(objects, oid.slice(0, 2), oid.slice(2))
const lines = (text: Buffer) => text.toString('latin1').split('\n').filter(Boolean)
