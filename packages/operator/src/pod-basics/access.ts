// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { KubeObject } from '../framework/types.ts'
import type { ImageMaker } from './images.ts'

/** The right of an account to run a pod of NVIDIA's under the SCC `nonroot`; ours need none beyond everybody's. */
export function nonrootAccess(
  account: string,
  maker: ImageMaker,
  on: { defaults: OperatorDefaults; labels: Record<string, string> },
): KubeObject[] {
  if (maker !== 'nvidia' || on.defaults.podSecurity !== 'openshift') return []
  const api = 'rbac.authorization.k8s.io'
  const metadata = { name: account, labels: on.labels }
  return [
    {
      apiVersion: `${api}/v1`,
      kind: 'Role',
      metadata,
      rules: [
        {
          apiGroups: ['security.openshift.io'],
          resources: ['securitycontextconstraints'],
          resourceNames: ['nonroot'],
          verbs: ['use'],
        },
      ],
    },
    {
      apiVersion: `${api}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: api, kind: 'Role', name: account },
      subjects: [{ kind: 'ServiceAccount', name: account }],
    },
  ]
}

/** What `nonrootAccess` may make, for a controller's `owns`. */
export const ACCESS_KINDS = [
  { apiVersion: 'v1', kind: 'ServiceAccount' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' },
]
