// SPDX-License-Identifier: Apache-2.0
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { acknowledged, NotAcknowledged, post, read, sha256, unlike } from './calls.ts'
import type { Work } from './load.ts'

export const SPACE = 'kills'
export const REPO = 'rows'
const LFS_BYTES = 300_000

const hub = (work: Work) => `${work.victim.urls.dataStore}/v1/hf`
const resolve = (work: Work, path: string) => `${hub(work)}/datasets/${SPACE}/${REPO}/resolve/main/${path}`

interface Operation {
  key: string
  value: Record<string, unknown>
}

async function commit(work: Work, summary: string, operations: Operation[]): Promise<void> {
  const lines = [{ key: 'header', value: { summary } }, ...operations]
  await acknowledged(`${hub(work)}/api/datasets/${SPACE}/${REPO}/commit/main`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.map((line) => JSON.stringify(line)).join('\n'),
  })
}

/** Commits two files at once: both are there afterwards, or, when it was not acknowledged, both or none. */
export async function commitTwoFiles(work: Work): Promise<void> {
  const serial = work.serial()
  const text = `commit ${serial} ${'x'.repeat(work.random.integer(0, 20_000))}`
  const paths = [`commits/${serial}/a.txt`, `commits/${serial}/b.txt`]
  const operations = paths.map((path) => ({
    key: 'file',
    value: { path, content: Buffer.from(text).toString('base64'), encoding: 'base64' },
  }))
  const found = () => Promise.all(paths.map((path) => read(resolve(work, path))))
  try {
    await commit(work, `commit ${serial}`, operations)
    work.ledger.add({
      what: `commit ${serial}`,
      check: async () => {
        const [a, b] = await found()
        return unlike(a, text) ?? unlike(b, text)
      },
    })
  } catch (err) {
    if (err instanceof NotAcknowledged) {
      work.ledger.add({
        what: `commit ${serial}, not acknowledged`,
        check: async () => {
          const [a, b] = await found()
          if (a === undefined && b === undefined) return undefined
          return unlike(a, text) ?? unlike(b, text)
        },
      })
    }
    throw err
  }
}

/** Uploads a file as an LFS object, as clients do with large ones, and commits it. */
export async function uploadLfs(work: Work): Promise<void> {
  const serial = work.serial()
  const data = Buffer.concat([Buffer.from(`${serial} `), Buffer.alloc(LFS_BYTES, work.random.bytes(997))])
  const oid = sha256(data)
  const size = data.byteLength
  const answer = await post<{ objects: { actions?: { upload?: { href: string } } }[] }>(
    `${hub(work)}/datasets/${SPACE}/${REPO}.git/info/lfs/objects/batch`,
    { operation: 'upload', transfers: ['basic'], hash_algo: 'sha256', objects: [{ oid, size }] },
  )
  const href = answer.objects[0]?.actions?.upload?.href
  if (href) await acknowledged(href, { method: 'PUT', body: data })
  const path = `large/${serial}.bin`
  await commit(work, `large ${serial}`, [{ key: 'lfsFile', value: { path, algo: 'sha256', oid, size } }])
  work.ledger.add({
    what: `LFS file ${path}`,
    check: async () => {
      const response = await fetch(resolve(work, path), { signal: AbortSignal.timeout(20_000) })
      if (!response.ok) return `status ${response.status}`
      return sha256(Buffer.from(await response.arrayBuffer())) === oid ? undefined : 'its bytes changed'
    },
  })
}

/** Uploads by OpenAI's API. */
export async function uploadOpenAiFile(work: Work): Promise<void> {
  const text = `{"n": ${work.serial()}}\n`.repeat(work.random.integer(1, 2000))
  const form = new FormData()
  form.set('purpose', 'fine-tune')
  form.set('file', new Blob([text]), 'rows.jsonl')
  const url = `${work.victim.urls.dataStore}/v1/files`
  const { id } = JSON.parse(await acknowledged(url, { method: 'POST', body: form })) as { id: string }
  work.ledger.add({
    what: `file ${id}`,
    check: async () => unlike(await read(`${url}/${id}/content`), text),
  })
}

/** Clones, commits and pushes with git itself, to a branch of its own. */
export async function pushCommit(work: Work): Promise<void> {
  const serial = work.serial()
  const clone = join(work.dir, `clone-${serial}`)
  const url = `${work.victim.urls.dataStore}/datasets/${SPACE}/${REPO}`
  const git = async (...args: string[]) => {
    const { code, output } = await runCommand('git', args, {
      timeout: 30_000,
      env: { GIT_TERMINAL_PROMPT: '0', GIT_LFS_SKIP_SMUDGE: '1', GIT_CONFIG_GLOBAL: '/dev/null' },
    })
    if (code !== 0) throw new NotAcknowledged(`git ${args.join(' ')}: ${output.slice(-300)}`)
    return output.trim()
  }
  const text = `push ${serial}\n`
  try {
    await mkdir(clone, { recursive: true })
    await git('init', '-q', '-b', `push-${serial}`, clone)
    await writeFile(join(clone, 'pushed.txt'), text)
    await git('-C', clone, 'add', '.')
    const who = ['-c', 'user.name=k', '-c', 'user.email=k@localhost']
    await git('-C', clone, ...who, 'commit', '-q', '-m', `push ${serial}`)
    await git('-C', clone, 'push', '-q', url, `push-${serial}`)
  } finally {
    await rm(clone, { recursive: true, force: true })
  }
  work.ledger.add({
    what: `pushed branch push-${serial}`,
    check: async () =>
      unlike(await read(`${hub(work)}/datasets/${SPACE}/${REPO}/resolve/push-${serial}/pushed.txt`), text),
  })
}
