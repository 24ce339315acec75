// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grantsOf, inOrder, type PodLike, predictScc, publishedSccs, type Scc } from './index.ts'

const NAMESPACE = {
  metadata: {
    name: 'nemo',
    annotations: {
      'openshift.io/sa.scc.uid-range': '1000790000/10000',
      'openshift.io/sa.scc.supplemental-groups': '1000790000/10000',
      'openshift.io/sa.scc.mcs': 's0:c28,c7',
    },
  },
}

const restricted = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
}

/** A pod that passes Pod Security `restricted`, with changes. */
const pod = (spec: Partial<PodLike['spec']> = {}, annotations?: Record<string, string>): PodLike => ({
  metadata: { annotations },
  spec: {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    volumes: [
      { name: 'tmp', emptyDir: {} },
      { name: 'data', persistentVolumeClaim: { claimName: 'x' } },
    ],
    containers: [{ name: 'app', securityContext: restricted }],
    ...spec,
  },
})

const customizerScc: Scc = {
  metadata: { name: 'nemo-customizer-scc' },
  priority: null,
  allowPrivilegeEscalation: false,
  allowedCapabilities: [],
  requiredDropCapabilities: ['ALL'],
  runAsUser: { type: 'RunAsAny' },
  seLinuxContext: { type: 'MustRunAs' },
  fsGroup: { type: 'RunAsAny' },
  supplementalGroups: { type: 'RunAsAny' },
  seccompProfiles: ['runtime/default'],
  volumes: ['configMap', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret'],
}

const predict = (subject: PodLike, names: string[], sccs = publishedSccs()) =>
  predictScc({ pod: subject, namespace: NAMESPACE, sccs, mayUse: (scc) => names.includes(scc.metadata.name) })

test('constraints are tried by priority, then the most restrictive, then by name', () => {
  const names = inOrder([...publishedSccs(), customizerScc]).map((scc) => scc.metadata.name)
  assert.deepEqual(names, [
    'anyuid',
    'restricted-v2',
    'restricted-v3',
    'restricted',
    'nonroot-v2',
    'nonroot',
    'nemo-customizer-scc',
    'hostmount-anyuid',
    'privileged',
  ])
})

test('restricted-v2 admits a restricted pod and gives it the ids of the namespace', () => {
  const { scc, pod: stored } = predict(pod(), ['restricted-v2', 'restricted-v3'])
  assert.equal(scc, 'restricted-v2')
  assert.equal(stored?.spec.securityContext?.fsGroup, 1000790000)
  assert.equal(stored?.spec.securityContext?.seLinuxOptions?.level, 's0:c28,c7')
  assert.equal(stored?.spec.containers[0]?.securityContext?.runAsUser, 1000790000)
})

test('a pod that says nothing is completed: UID, group, seccomp, dropped capabilities', () => {
  const { scc, pod: stored } = predict({ spec: { containers: [{ name: 'app' }] } }, ['restricted-v2'])
  assert.equal(scc, 'restricted-v2')
  assert.deepEqual(stored?.spec.securityContext?.seccompProfile, { type: 'RuntimeDefault' })
  assert.deepEqual(stored?.spec.containers[0]?.securityContext, {
    runAsUser: 1000790000,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    allowPrivilegeEscalation: false,
  })
})

const refusedBy = (subject: PodLike, name = 'restricted-v2') => {
  const { scc, refused } = predict(subject, [name])
  assert.equal(scc, undefined)
  return refused.find((r) => r.scc === name)?.reasons.join('; ') ?? ''
}

test('restricted-v2 says each thing it refuses', () => {
  const uid = pod({ containers: [{ name: 'app', securityContext: { ...restricted, runAsUser: 1000 } }] })
  assert.match(refusedBy(uid), /container app: runAsUser 1000 is outside 1000790000-1000799999/)
  assert.match(refusedBy(pod({ securityContext: { fsGroup: 2000 } })), /fsGroup 2000 is outside/)
  assert.match(
    refusedBy(pod({ volumes: [{ name: 'host', hostPath: { path: '/' } }] })),
    /volume host: hostPath volumes are not allowed/,
  )
  const caps = { ...restricted, capabilities: { add: ['DAC_OVERRIDE'], drop: ['ALL'] } }
  assert.match(
    refusedBy(pod({ containers: [{ name: 'app', securityContext: caps }] })),
    /DAC_OVERRIDE may not be added/,
  )
  assert.match(
    refusedBy(pod({ securityContext: { seccompProfile: { type: 'Unconfined' } } })),
    /seccomp profile unconfined is not one of/,
  )
  assert.match(refusedBy(pod({ hostNetwork: true, hostPID: true })), /hostNetwork is .*hostPID is/)
  const open = { allowPrivilegeEscalation: true, privileged: true }
  assert.match(
    refusedBy(pod({ initContainers: [{ name: 'init', securityContext: open }] })),
    /container init: privileged is not allowed; container init: allowPrivilegeEscalation must be false/,
  )
  const other = { ...restricted, seLinuxOptions: { level: 's0:c123,c456' } }
  assert.match(
    refusedBy(pod({ containers: [{ name: 'app', securityContext: other }] })),
    /level s0:c123,c456/,
  )
  assert.match(
    refusedBy(pod({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } })),
    /sysctl kernel.msgmax is not allowed/,
  )
})

test('nonroot refuses seccomp, so that a restricted pod cannot use it; a pod without may', () => {
  assert.match(refusedBy(pod(), 'nonroot'), /seccomp may not be set/)
  const nvidia: PodLike = {
    spec: { securityContext: { runAsUser: 1000, fsGroup: 2000 }, containers: [{ name: 'x' }] },
  }
  assert.equal(predict(nvidia, ['restricted-v2', 'nonroot']).scc, 'nonroot')
  assert.match(
    refusedBy({ spec: { containers: [{ name: 'x', securityContext: { runAsUser: 0 } }] } }, 'nonroot'),
    /root/,
  )
  assert.equal(
    predict(pod({ securityContext: { runAsUser: 1000 } }), ['restricted-v2', 'nonroot-v2']).scc,
    'nonroot-v2',
  )
})

test('restricted-v3 wants a user namespace; anyuid comes first by its priority; privileged takes all', () => {
  assert.match(refusedBy(pod(), 'restricted-v3'), /hostUsers: false/)
  const { scc, pod: stored } = predict(pod({ hostUsers: false }), ['restricted-v3'])
  assert.equal(scc, 'restricted-v3')
  assert.equal(stored?.spec.containers[0]?.securityContext?.runAsUser, 1000)
  assert.equal(predict(pod(), []).scc, undefined)
  const plain: PodLike = { spec: { containers: [{ name: 'x' }] } }
  assert.equal(predict(plain, ['restricted-v2', 'anyuid']).scc, 'anyuid')
  // anyuid names no seccomp profile either, which leaves restricted pods with restricted-v2.
  assert.equal(predict(pod(), ['restricted-v2', 'anyuid']).scc, 'restricted-v2')
  const rooted = pod({ hostNetwork: true, volumes: [{ name: 'h', hostPath: { path: '/' } }] })
  assert.equal(predict(rooted, ['restricted-v2', 'privileged']).scc, 'privileged')
  assert.equal(predict(pod({ volumes: [{ name: 'h', hostPath: {} }] }), ['hostmount-anyuid']).scc, undefined)
  assert.equal(
    predict({ spec: { volumes: [{ name: 'h', hostPath: {} }], containers: [{ name: 'x' }] } }, [
      'hostmount-anyuid',
    ]).scc,
    'hostmount-anyuid',
  )
})

test('required-scc binds a pod to one constraint, which must exist and be granted', () => {
  const bound = (name: string, granted: string[]) =>
    predict(pod({}, { 'openshift.io/required-scc': name }), granted)
  assert.equal(bound('restricted-v2', ['restricted-v2', 'anyuid']).scc, 'restricted-v2')
  assert.deepEqual(bound('nonroot', ['restricted-v2']).refused, [
    { scc: 'nonroot', reasons: ['the ServiceAccount may not use it'] },
  ])
  assert.match(bound('gone', ['restricted-v2']).refused[0]?.reasons[0] ?? '', /no constraint of that name/)
})

test('a positive priority of our constraint would take every pod of the customizer; without it restricted-v2 wins', () => {
  const sccs = [...publishedSccs(), customizerScc]
  const granted = ['restricted-v2', 'nemo-customizer-scc']
  assert.equal(predict(pod(), granted, sccs).scc, 'restricted-v2')
  const download = pod({ securityContext: { runAsUser: 1000, fsGroup: 2000, runAsNonRoot: true } })
  assert.equal(predict(download, granted, sccs).scc, 'nemo-customizer-scc')
  const greedy = [...publishedSccs(), { ...customizerScc, priority: 5 }]
  assert.equal(predict(pod(), granted, greedy).scc, 'nemo-customizer-scc')
})

test('a namespace without the annotations of OpenShift admits nothing', () => {
  const { scc, refused } = predictScc({
    pod: pod(),
    namespace: { metadata: { name: 'bare' } },
    sccs: publishedSccs(),
    mayUse: () => true,
  })
  assert.equal(scc, undefined)
  assert.match(
    refused[0]?.reasons[0] ?? '',
    /namespace bare has no annotation openshift.io\/sa.scc.uid-range/,
  )
})

test('grants are read from RBAC of the namespace, from the constraint and from what all may use', () => {
  const role = (namespace: string, name: string, scc: string) => ({
    kind: 'Role',
    metadata: { name, namespace },
    rules: [
      {
        apiGroups: ['security.openshift.io'],
        resources: ['securitycontextconstraints'],
        resourceNames: [scc],
        verbs: ['use'],
      },
    ],
  })
  const bind = (namespace: string, name: string, account: string) => ({
    kind: 'RoleBinding',
    metadata: { name: `${name}-binding`, namespace },
    roleRef: { kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name: account }],
  })
  const objects = [
    role('nemo', 'r', 'nonroot'),
    bind('nemo', 'r', 'nim'),
    role('other', 'q', 'anyuid'),
    bind('other', 'q', 'nim'),
  ]
  const granted = (serviceAccount: string) =>
    publishedSccs()
      .filter(grantsOf({ serviceAccount, namespace: 'nemo', objects }))
      .map((scc) => scc.metadata.name)
  assert.deepEqual(granted('nim'), ['restricted-v2', 'nonroot'])
  assert.deepEqual(granted('default'), ['restricted-v2'])
  const mine = { metadata: { name: 'mine' }, users: ['system:serviceaccount:nemo:default'] }
  assert.ok(grantsOf({ serviceAccount: 'default', namespace: 'nemo', objects: [] })(mine))
})
