// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { root } from './helm.ts'
import { containersOf, type Pod } from './pods.ts'

/** A row of deploy/images/images.yaml. */
export interface ImageRow {
  image: string
  source: 'official' | 'built'
  from: string
  user: string
  any: boolean
  writable: string[]
  command?: string[]
  args?: string[]
  /** Pattern that the tag must match. */
  tag?: string
  /** Folders of the image that a read-only volume must cover. */
  covered?: string[]
}

export const imageTable = (): ImageRow[] =>
  parse(readFileSync(join(root, 'deploy/images/images.yaml'), 'utf8')) as ImageRow[]

/** Repository and tag of a reference; a digest counts as its tag. */
export function splitImage(reference: string): { repository: string; tag: string } {
  const at = reference.indexOf('@')
  if (at > 0) return { repository: reference.slice(0, at), tag: reference.slice(at + 1) }
  const colon = reference.lastIndexOf(':')
  if (colon < reference.lastIndexOf('/')) return { repository: reference, tag: '' }
  return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) }
}

const WRITABLE_KINDS = ['emptyDir', 'persistentVolumeClaim', 'ephemeral']

/** What is wrong with a pod according to the table; empty when nothing is. */
export function againstTable(pod: Pod, rows: readonly ImageRow[]): string[] {
  const claims: string[] = (pod.owner.spec.volumeClaimTemplates ?? []).map(
    (claim: { metadata: { name: string } }) => claim.metadata.name,
  )
  const writableVolumes = new Set([
    ...claims,
    // biome-ignore lint/suspicious/noExplicitAny: volumes are of every kind
    ...(pod.spec.volumes ?? []).filter((v: any) => WRITABLE_KINDS.some((k) => v[k])).map((v: any) => v.name),
  ])
  return containersOf(pod).flatMap((container) => {
    const { repository, tag } = splitImage(container.image)
    const row = rows.find((candidate) => candidate.image === repository)
    if (!row) return [`${pod.id}: ${repository} is not in deploy/images/images.yaml`]
    const mounts: { name: string; mountPath: string; readOnly?: boolean }[] = container.volumeMounts ?? []
    const written = mounts.filter((m) => writableVolumes.has(m.name) && !m.readOnly).map((m) => m.mountPath)
    const problems: string[] = []
    const only = written.filter((path) => !row.writable.includes(path))
    if (only.length > 0) problems.push(`writes ${only}, which the table does not name`)
    // Hooks run the image of the services without its data.
    const needed = pod.owner.kind === 'Job' ? ['/tmp'] : row.writable
    const missing = needed.filter((path) => !written.includes(path))
    if (missing.length > 0) problems.push(`has no volume at ${missing}`)
    const bare = (row.covered ?? []).filter((path) => !mounts.some((m) => m.mountPath === path))
    if (bare.length > 0) problems.push(`${bare} is not covered`)
    problems.push(...startsAs('command', container.command, row.command))
    problems.push(...startsAs('args', container.args, row.args))
    if (row.tag && !new RegExp(row.tag).test(tag)) problems.push(`tag ${tag} does not match ${row.tag}`)
    return problems.map((problem) => `${pod.id}/${container.name}: ${problem}`)
  })
}

function startsAs(what: string, actual: string[] | undefined, expected: string[] | undefined): string[] {
  if (!expected) return []
  const same = expected.every((word, i) => actual?.[i] === word)
  return same ? [] : [`${what} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)} …`]
}
