// SPDX-License-Identifier: Apache-2.0
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { TreeChange } from '../git/fast-import.ts'
import { branchRef, listRefs, moveRef, resolveRevision } from '../git/refs.ts'
import { formatPointer, type TreeIndex } from '../git/tree.ts'
import { checkRefName } from '../storage/paths.ts'
import type { Reservation } from '../storage/quota.ts'
import { type Repo, type Repositories, shown } from '../storage/repositories.ts'
import { checkClashes } from './clash.ts'
import { type Operation, receiveCommit, type Upload } from './upload.ts'

export interface Committed {
  commit: string
  /** Number of the pull request that was opened for it. */
  pull?: number
}

/**
 * Reads a commit body and makes the commit. The branch moves in one step at the end, so that a kill at any
 * moment leaves the old or the new commit; until then everything is aside.
 */
export async function commit(
  store: Repositories,
  repo: Repo,
  args: { branch: string; body: AsyncIterable<Uint8Array>; expected?: number; openPull: boolean },
): Promise<Committed> {
  const branch = checkRefName(args.branch)
  // known before the body is read: a gigabyte for a branch that is not there would be sent in vain
  if (!args.openPull) await headOf(store, repo, branch)
  const room = store.quotas.reserve(repo, leastContent(args.expected))
  try {
    return await store.receiving(repo, () => receive(store, repo, { ...args, branch, room }))
  } finally {
    room.release()
  }
}

async function receive(
  store: Repositories,
  repo: Repo,
  args: Parameters<typeof commit>[2] & { room: Reservation },
): Promise<Committed> {
  const upload = await receiveCommit(args.body, {
    dir: store.temporary(),
    gitDir: repo.gitDir,
    expected: args.expected,
    room: args.room,
  })
  try {
    const result = await store.exclusive(repo, () => apply(store, repo, { ...args, upload }))
    await store.rows.touchRepo(repo.id)
    store.maintain(repo)
    return result
  } finally {
    await upload.discard()
  }
}

/** What a body of so many bytes brings at least: three quarters of it, as base64, less what names the files. */
function leastContent(length = 0): number {
  return Math.max(0, Math.floor(length * 0.74) - 65_536)
}

async function headOf(store: Repositories, repo: Repo, branch: string): Promise<string> {
  const head = await store.objects.info(repo.gitDir, `${branchRef(branch)}^{commit}`)
  if (!head) throw dataStoreErrors.REVISION_NOT_FOUND({ id: repo.fullName, revision: shown(branch) })
  return head.oid
}

async function apply(
  store: Repositories,
  repo: Repo,
  args: { branch: string; openPull: boolean; upload: Upload },
): Promise<Committed> {
  const { upload, branch } = args
  const head = args.openPull
    ? await store.commitOf(repo, upload.header.parentCommit ?? branch)
    : await headOf(store, repo, branch)
  const expected = upload.header.parentCommit
  if (expected && !(expected.length >= 7 && head.startsWith(expected.toLowerCase()))) {
    throw dataStoreErrors.PARENT_MOVED({ id: repo.fullName, branch, actual: head, expected: shown(expected) })
  }
  const before = await store.trees.read(repo.gitDir, head)
  const changes = await planChanges(store, repo, { before, branch, upload })
  const message = [upload.header.summary || 'commit', upload.header.description].filter(Boolean).join('\n\n')
  const next = await upload.writer.commit(head, message, changes)

  const objects = upload.operations.flatMap((op) => (op.kind === 'add' && op.lfs ? [op.lfs] : []))
  for (const { oid, file } of objects) {
    if (file === undefined) continue
    await repo.lfs.markPending(oid)
    await repo.lfs.adopt(file, oid)
  }
  await upload.writer.publish()
  const pull = args.openPull ? await nextPull(repo) : undefined
  const moved = pull
    ? await moveRef(repo.gitDir, `refs/pr/${pull}`, next, undefined)
    : await moveRef(repo.gitDir, branchRef(branch), next, head)
  if (!moved) {
    const actual = (await resolveRevision(store.objects, repo.gitDir, branch)) ?? 'gone'
    throw dataStoreErrors.PARENT_MOVED({ id: repo.fullName, branch, actual, expected: head })
  }
  for (const { oid } of objects) await repo.lfs.clearPending(oid)
  return pull ? { commit: next, pull } : { commit: next }
}

async function nextPull(repo: Repo): Promise<number> {
  const { pulls } = await listRefs(repo.gitDir)
  return 1 + Math.max(0, ...pulls.map((pull) => Number(pull.name) || 0))
}

interface Plan {
  before: TreeIndex
  branch: string
  upload: Upload
}

/** Turns operations into changes of the tree; all are meant against the tree as it was before the commit. */
async function planChanges(store: Repositories, repo: Repo, plan: Plan): Promise<TreeChange[]> {
  const removed = new Set<string>()
  const added = new Map<string, string>()
  const changes: TreeChange[] = []
  for (const operation of plan.upload.operations) {
    if (operation.kind === 'delete') {
      for (const path of removedFiles(repo, plan, operation)) removed.add(path)
      changes.push({ path: operation.path, object: undefined })
    } else if (operation.kind === 'copy') {
      added.set(operation.path, await copied(store, repo, plan, operation))
    } else {
      added.set(operation.path, operation.mark || (await knownObject(repo, plan, operation)))
    }
  }
  if (added.size > 0) checkClashes(plan.before, removed, new Set(added.keys()))
  for (const [path, object] of added) changes.push({ path, object })
  return changes
}

function removedFiles(repo: Repo, plan: Plan, op: Operation & { kind: 'delete' }): string[] {
  const entry = plan.before.get(op.path)
  const wanted = op.folder ? 'directory' : 'file'
  if (entry?.type !== wanted) {
    const path = JSON.stringify(op.folder ? `${op.path}/` : op.path)
    throw dataStoreErrors.ENTRY_NOT_FOUND({ path, id: repo.fullName, revision: plan.branch, field: 'path' })
  }
  if (!op.folder) return [op.path]
  return plan.before.list(op.path, true).flatMap((e) => (e.type === 'file' ? [e.path] : []))
}

async function copied(
  store: Repositories,
  repo: Repo,
  plan: Plan,
  op: Operation & { kind: 'copy' },
): Promise<string> {
  const index = op.revision
    ? await store.trees.read(repo.gitDir, await store.commitOf(repo, op.revision))
    : plan.before
  const entry = index.get(op.source)
  if (entry?.type === 'file' && entry.mode.startsWith('100')) return entry.oid
  const path = JSON.stringify(op.source)
  throw dataStoreErrors.ENTRY_NOT_FOUND({ id: repo.fullName, path, revision: op.revision ?? plan.branch })
}

/** The pointer to an object that was uploaded before, checked against what is on the disk. */
async function knownObject(repo: Repo, plan: Plan, op: Operation & { kind: 'add' }): Promise<string> {
  const { oid, size } = op.lfs as { oid: string; size: number }
  const actual = await repo.lfs.size(oid)
  const path = JSON.stringify(op.path)
  if (actual === undefined) throw dataStoreErrors.LFS_MISSING({ oid, path, field: 'path' })
  if (size !== -1 && actual !== size)
    throw dataStoreErrors.LFS_SIZE({ oid, path, actual, size, field: 'path' })
  return plan.upload.writer.blob(Buffer.from(formatPointer(oid, actual)))
}
