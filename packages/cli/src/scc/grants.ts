// SPDX-License-Identifier: Apache-2.0
import { GRANTED_TO_ALL } from './published.ts'
import type { Scc } from './types.ts'

interface Rule {
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  verbs?: string[]
}

/** Any object of the cluster or of a chart; those that are not RBAC are passed over. */
export interface RbacObject {
  kind?: string
  metadata?: { name?: string; namespace?: string }
  rules?: Rule[] | null
  roleRef?: { kind: string; name: string }
  subjects?: { kind: string; name: string; namespace?: string }[] | null
}

const covers = (list: readonly string[] | undefined, name: string) =>
  !!list?.some((x) => x === '*' || x === name)

const allowsUse = (rule: Rule, scc: string) =>
  covers(rule.apiGroups, 'security.openshift.io') &&
  covers(rule.resources, 'securitycontextconstraints') &&
  covers(rule.verbs, 'use') &&
  (!rule.resourceNames?.length || rule.resourceNames.includes(scc))

/**
 * Says of each constraint whether a ServiceAccount may use it: by RBAC in its namespace, by the constraint's own
 * lists of users and groups, or because any authenticated account may.
 */
export function grantsOf(args: {
  serviceAccount: string
  namespace: string
  objects: readonly RbacObject[]
  /** Constraints that a binding outside `objects` gives to all. */
  everyone?: readonly string[]
}): (scc: Scc) => boolean {
  const { serviceAccount, namespace, objects, everyone = GRANTED_TO_ALL } = args
  const user = `system:serviceaccount:${namespace}:${serviceAccount}`
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']
  const inScope = (o: RbacObject) => (o.metadata?.namespace ?? namespace) === namespace
  const names = (binding: RbacObject) =>
    (binding.subjects ?? []).some((s) => {
      if (s.kind === 'ServiceAccount')
        return s.name === serviceAccount && (s.namespace ?? namespace) === namespace
      return s.kind === 'User' ? s.name === user : groups.includes(s.name)
    })
  const rules = objects
    .filter((o) => (o.kind === 'RoleBinding' && inScope(o)) || o.kind === 'ClusterRoleBinding')
    .filter(names)
    .flatMap((binding) =>
      objects.filter(
        (o) =>
          o.kind === binding.roleRef?.kind &&
          o.metadata?.name === binding.roleRef?.name &&
          (o.kind === 'ClusterRole' || inScope(o)),
      ),
    )
    .flatMap((role) => role.rules ?? [])
  return (scc) =>
    everyone.includes(scc.metadata.name) ||
    !!scc.users?.includes(user) ||
    !!scc.groups?.some((group) => groups.includes(group)) ||
    rules.some((rule) => allowsUse(rule, scc.metadata.name))
}
