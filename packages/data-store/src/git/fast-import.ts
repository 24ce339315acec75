// SPDX-License-Identifier: Apache-2.0
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFile, syncFolder } from '../storage/fsync.ts'
import { AUTHOR, GitError, startGit, startMessage } from './run.ts'

/** A file of the new commit: a blob written before by its mark, or an object that exists by its id. */
export interface TreeChange {
  path: string
  /** `:3` or a full object id; undefined removes the path, with all below when it is a folder. */
  object: string | undefined
}

/**
 * One commit in the making. Objects go into a repository of their own that borrows from the real one, so that
 * an upload that never ends leaves nothing there; publish moves them over as one pack.
 */
export class ObjectWriter {
  readonly #dir: string
  readonly #objects: string
  #child: ChildProcessWithoutNullStreams | undefined
  #ended: Promise<void> | undefined
  #failure: GitError | undefined
  #stderr = ''
  #stdout = ''
  #marks = 0

  /** `dir` does not exist yet and is on the file system of `gitDir`. */
  constructor(dir: string, gitDir: string) {
    this.#dir = dir
    this.#objects = join(gitDir, 'objects')
  }

  /** Adds a blob and gives its mark. Awaits when git is behind. */
  async blob(content: Uint8Array): Promise<string> {
    const mark = `:${++this.#marks}`
    await this.#write(`blob\nmark ${mark}\ndata ${content.length}\n`, content, '\n')
    return mark
  }

  /**
   * Writes the commit on top of `parent` (undefined makes a first commit) and ends. Gives the commit's id;
   * its objects stay aside until publish.
   */
  async commit(parent: string | undefined, message: string, changes: readonly TreeChange[]): Promise<string> {
    const text = Buffer.from(message.toWellFormed().replaceAll('\0', ''), 'utf8')
    const mark = `:${++this.#marks}`
    const when = `${Math.floor(Date.now() / 1000)} +0000`
    await this.#write(
      `commit refs/heads/new\nmark ${mark}\ncommitter ${AUTHOR.name} <${AUTHOR.email}> ${when}\ndata ${text.length}\n`,
      text,
      `\n${parent ? `from ${parent}\n` : ''}`,
    )
    // removals first: a path may be removed and added again in one commit
    const ordered = [...changes].sort(
      (a, b) => Number(a.object !== undefined) - Number(b.object !== undefined),
    )
    for (let at = 0; at < ordered.length; at += 1000) {
      const lines = ordered.slice(at, at + 1000).map(changeLine)
      await this.#write(lines.join(''))
    }
    await this.#write(`\nget-mark ${mark}\ndone\n`)
    this.#child?.stdin.end()
    await this.#ended
    if (this.#failure) throw this.#failure
    const oid = /[0-9a-f]{40,64}/.exec(this.#stdout)?.[0]
    if (!oid) throw new GitError(['fast-import'], 0, `it gave no commit: ${this.#stdout}`)
    return oid
  }

  /** Moves the objects into the real repository, synced: the pack first, then the index that makes it seen. */
  async publish(): Promise<void> {
    const from = join(this.#dir, 'objects', 'pack')
    const to = join(this.#objects, 'pack')
    const names = (await readdir(from)).filter((name) => /^pack-[0-9a-f]+\.(pack|idx)$/.test(name))
    for (const name of names) await syncFile(join(from, name))
    names.sort((a, b) => Number(a.endsWith('.idx')) - Number(b.endsWith('.idx')))
    for (const name of names) await rename(join(from, name), join(to, name))
    await syncFolder(to)
  }

  /** Ends git if it still runs and removes what is left aside. Safe to call at any time. */
  async discard(): Promise<void> {
    if (this.#child && this.#child.exitCode === null) this.#child.kill('SIGKILL')
    await this.#ended?.catch(() => {})
    await rm(this.#dir, { recursive: true, force: true })
  }

  async #start(): Promise<ChildProcessWithoutNullStreams> {
    await mkdir(join(this.#dir, 'objects', 'info'), { recursive: true })
    await mkdir(join(this.#dir, 'objects', 'pack'))
    await mkdir(join(this.#dir, 'refs'))
    await writeFile(join(this.#dir, 'objects', 'info', 'alternates'), `${alternate(this.#objects)}\n`)
    await writeFile(join(this.#dir, 'HEAD'), 'ref: refs/heads/new\n')
    await writeFile(join(this.#dir, 'config'), BARE_CONFIG)
    const args = ['fast-import', '--quiet', '--done', '--depth=0', '--date-format=raw']
    const child = startGit(this.#dir, args)
    this.#child = child
    child.stdin.on('error', () => {})
    child.stdout.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString('latin1')
    })
    child.stderr.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < 10_000) this.#stderr += chunk.toString('utf8')
    })
    this.#ended = new Promise((resolve) => {
      const fail = (code: number | null, text: string) => {
        this.#failure ??= new GitError(['fast-import'], code, text)
        resolve()
      }
      child.on('error', (err) => fail(null, startMessage(err)))
      child.on('close', (code) => (code === 0 ? resolve() : fail(code, this.#stderr)))
    })
    return child
  }

  async #write(...pieces: (string | Uint8Array)[]): Promise<void> {
    const child = this.#child ?? (await this.#start())
    if (this.#failure) throw this.#failure
    let room = true
    for (const piece of pieces) room = child.stdin.write(piece)
    if (room) return
    await Promise.race([new Promise<void>((resolve) => child.stdin.once('drain', resolve)), this.#ended])
    if (this.#failure) throw this.#failure
  }
}

/** The configuration of every repository; it is never changed afterwards. */
export const BARE_CONFIG = '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n'

function changeLine(change: TreeChange): string {
  const path = quotePath(change.path)
  return change.object === undefined ? `D ${path}\n` : `M 100644 ${change.object} ${path}\n`
}

/** A path in git's C style; control characters never get here, since checkPath refuses them. */
function quotePath(path: string): string {
  return `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** A path with a leading quote or hash would be read as something else in an alternates file. */
function alternate(path: string): string {
  return /^["#]|\n/.test(path) ? `"${path.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"` : path
}
