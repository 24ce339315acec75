// SPDX-License-Identifier: Apache-2.0
import { podsOf } from '../pods.ts'
import type { Policy } from './types.ts'

/** Every pod has a ServiceAccount of its own, and a token only where a role is bound to it. */
export const accounts: Policy = ({ objects }) => {
  const bound = new Set(
    objects
      .filter((object) => object.kind.endsWith('RoleBinding'))
      .flatMap((binding) => (binding.subjects ?? []).map((subject: { name: string }) => subject.name)),
  )
  const made = new Set(objects.filter((o) => o.kind === 'ServiceAccount').map((o) => o.metadata.name))
  const usedBy = new Map<string, string>()
  return podsOf(objects).flatMap(({ id, spec }) => {
    const account = spec.serviceAccountName ?? 'default'
    const problems: string[] = []
    if (!made.has(account)) problems.push(`${id} runs as ${account}, which is not made`)
    const other = usedBy.get(account)
    if (other) problems.push(`${id} shares ${account} with ${other}`)
    usedBy.set(account, id)
    if (spec.automountServiceAccountToken !== bound.has(account))
      problems.push(`${id} ${bound.has(account) ? 'needs a token' : 'needs no token, and must say so'}`)
    return problems
  })
}

/** No role may be widened without notice: no wildcards, and no changing of Secrets. */
export const narrowRoles: Policy = ({ objects }) =>
  objects
    .filter((object) => object.kind === 'Role' || object.kind === 'ClusterRole')
    .flatMap((role) =>
      // biome-ignore lint/suspicious/noExplicitAny: a rule
      (role.rules ?? []).flatMap((rule: any) => {
        const id = `${role.kind}/${role.metadata.name}`
        const text = JSON.stringify(rule)
        if (text.includes('"*"')) return [`${id} has a wildcard`]
        const secrets = rule.resources?.includes('secrets') && !rule.resourceNames
        const reading = rule.verbs.some((verb: string) => verb !== 'create')
        return secrets && reading ? [`${id} reads any Secret`] : []
      }),
    )
