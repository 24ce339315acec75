// SPDX-License-Identifier: Apache-2.0
// Run by git before a push moves any ref, with the pushed objects still in quarantine; the arguments of git's own
// pre-receive hook come on standard input. What it prints to standard error reaches the user's terminal.
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { checkPath, isRefName } from '../storage/paths.ts'
import { MAX_POINTER, parsePointer } from './tree.ts'

const NONE = /^0+$/
const SUBMODULE = '160000'
const LINK = '120000'

interface Update {
  next: string
  ref: string
}

/** Something that the push may not bring; its message is for the user. */
class Refused extends Error {}

async function main(): Promise<void> {
  const updates = (await text(process.stdin)).split('\n').filter(Boolean).map(readUpdate)
  for (const { ref } of updates) checkRef(ref)
  const tips = updates.filter(({ next }) => !NONE.test(next)).map(({ next }) => next)
  if (tips.length > 0) await checkContent(tips)
}

function readUpdate(line: string): Update {
  const [, next = '', ref = ''] = line.split(' ')
  return { next, ref }
}

function checkRef(ref: string): void {
  if (!/^refs\/(heads|tags)\/./.test(ref)) throw new Refused(`${ref} is not a branch or a tag`)
  if (!isRefName(ref)) throw new Refused(`${ref} is no name for a branch or a tag`)
}

async function checkContent(tips: string[]): Promise<void> {
  const commits = await git(['rev-list', '--stdin', '--not', '--all'], `${tips.join('\n')}\n`)
  if (commits.length === 0) return
  const changes = await git(['diff-tree', '--stdin', '-r', '-z', '-m', '--root', '--no-renames'], commits)
  const blobs = new Map<string, string>()
  const fields = changes.toString('utf8').split('\0')
  for (let at = 0; at < fields.length; at++) {
    const [, mode, , oid, status] = fields[at]?.startsWith(':') ? (fields[at] ?? '').split(' ') : []
    if (!mode || !oid) continue
    at += 1
    if (status !== 'D') checkFile(fields[at] ?? '', mode, oid, blobs)
  }
  await checkPointers(blobs)
}

function checkFile(path: string, mode: string, oid: string, blobs: Map<string, string>): void {
  try {
    checkPath(path)
  } catch (error) {
    throw new Refused(error instanceof Error ? error.message : String(error))
  }
  if (mode === SUBMODULE) throw new Refused(`${path} is a submodule: push its files instead`)
  if (mode !== LINK) blobs.set(oid, path)
}

/** Every pointer must name an object that is here: a file whose content nobody has would be lost for all who pull it. */
async function checkPointers(blobs: Map<string, string>): Promise<void> {
  const sizes = await git(['cat-file', '--batch-check=%(objectname) %(objectsize)'], lines(blobs.keys()))
  const small = [...sizes.toString('latin1').matchAll(/^([0-9a-f]+) (\d+)$/gm)].flatMap(([, oid, size]) =>
    oid && Number(size) <= MAX_POINTER ? [oid] : [],
  )
  const contents = await git(['cat-file', '--batch'], lines(small))
  const pointers: { path: string | undefined; oid: string; size: number }[] = []
  for (let at = 0; at < contents.length; ) {
    const end = contents.indexOf(0x0a, at)
    const [oid = '', , size = '0'] = contents.subarray(at, end).toString('latin1').split(' ')
    const content = contents.subarray(end + 1, end + 1 + Number(size))
    at = end + 2 + Number(size)
    const pointer = parsePointer(content)
    if (pointer) pointers.push({ path: blobs.get(oid), oid: pointer.oid, size: pointer.size })
  }
  const stored = await storedSizes(new Set(pointers.map((pointer) => pointer.oid)))
  for (const { path, oid, size } of pointers) {
    if (stored.get(oid) === String(size)) continue
    if (stored.get(oid) === '?') throw new Error(`the LFS storage does not answer for ${oid}`)
    throw new Refused(
      `${path} points to the LFS object ${oid}, which is not here: run git lfs push --all origin`,
    )
  }
}

/** Asks the data store, over the socket that it left as file descriptor 3, for the sizes of LFS objects. */
async function storedSizes(oids: ReadonlySet<string>): Promise<Map<string, string>> {
  const answers = new Map<string, string>()
  if (oids.size === 0) return answers
  const channel = new Socket({ fd: 3 })
  channel.write(lines(oids))
  for await (const line of createInterface({ input: channel })) {
    const [oid = '', size = ''] = line.split(' ')
    answers.set(oid, size)
    if (answers.size === oids.size) break
  }
  channel.destroy()
  return answers
}

const lines = (items: Iterable<string>) => [...items].map((item) => `${item}\n`).join('')

function git(args: string[], input: string | Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn('git', args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const out: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stdin.on('error', () => {})
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(Buffer.concat(out)) : reject(new Error(`git ${args[0]} ended with ${code}`)),
    )
    child.stdin.end(input)
  })
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

main().catch((error) => {
  console.error(error instanceof Refused ? error.message : `the push could not be checked: ${error}`)
  process.exitCode = 1
})
