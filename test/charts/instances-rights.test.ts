// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { grantsOf, inOrder, predictScc, publishedSccs, type Scc } from '../../packages/cli/src/scc/index.ts'
import { infraChart, instancesChart, type KubeObject, noHelm, render } from './helm.ts'
import { podsOf } from './pods.ts'

const skip = noHelm
const apiVersions = ['config.openshift.io/v1', 'security.openshift.io/v1', 'route.openshift.io/v1']
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

const onOpenShift = (chart: string, values: object = {}) =>
  render(chart, { release: chart === infraChart ? 'nemo-infra' : 'nemo-instances', apiVersions, values })
const ours = (objects: KubeObject[]): Scc[] =>
  objects.filter((o) => o.kind === 'SecurityContextConstraints').map((o) => o as unknown as Scc)

test('on OpenShift every pod of both charts is admitted under restricted-v2', { skip }, () => {
  for (const chart of [infraChart, instancesChart]) {
    const objects = onOpenShift(chart)
    const sccs = [...publishedSccs(), ...ours(objects)]
    const pods = podsOf(objects)
    assert.ok(pods.length > 3)
    for (const { id, annotations, spec } of pods) {
      const mayUse = grantsOf({
        serviceAccount: spec.serviceAccountName ?? 'default',
        namespace: 'nemo',
        objects,
      })
      // Also without the annotation: no other constraint that the account may use comes first.
      for (const wanted of [annotations, {}]) {
        const { scc, refused } = predictScc({
          pod: { metadata: { annotations: wanted }, spec },
          namespace: NAMESPACE,
          sccs,
          mayUse,
        })
        assert.equal(scc, 'restricted-v2', `${id}: ${JSON.stringify(refused)}`)
      }
    }
  }
})

test('rendered for plain Kubernetes, the same pods would be refused there: the mode matters', {
  skip,
}, () => {
  const [pod] = podsOf(render(instancesChart, { release: 'r' }))
  const { scc, refused } = predictScc({
    pod: { spec: pod?.spec },
    namespace: NAMESPACE,
    sccs: publishedSccs(),
    mayUse: (each) => each.metadata.name === 'restricted-v2',
  })
  assert.equal(scc, undefined)
  assert.match(JSON.stringify(refused), /runAsUser 1000 is outside/)
})

test('SCC objects are rendered only where their API is, and grant what the guide says', { skip }, () => {
  const plain = render(instancesChart, { release: 'r' })
  const names = (objects: KubeObject[]) => objects.map((o) => o.metadata.name)
  assert.ok(!names(plain).some((name) => name.includes('scc')))
  const objects = onOpenShift(instancesChart)
  const bindings = Object.fromEntries(
    objects
      .filter((o) => o.kind === 'RoleBinding' && o.metadata.name.endsWith('-binding'))
      .map((o) => [o.metadata.name, o.subjects.map((s: { name: string }) => s.name)]),
  )
  assert.deepEqual(bindings, {
    'customizer-scc-nemo-customizer-scc-binding': ['nemocustomizer-sample'],
    'default-scc-nonroot-binding': ['default'],
  })
})

test('nemo-customizer-scc relaxes user and group, and nothing else of restricted-v2', { skip }, () => {
  const [scc] = ours(onOpenShift(instancesChart))
  const v2 = publishedSccs().find((each) => each.metadata.name === 'restricted-v2')
  assert.ok(scc && v2)
  const required = [
    'allowHostDirVolumePlugin',
    'allowHostIPC',
    'allowHostNetwork',
    'allowHostPID',
    'allowHostPorts',
    'allowPrivilegedContainer',
    'allowedCapabilities',
    'defaultAddCapabilities',
    'priority',
    'readOnlyRootFilesystem',
    'requiredDropCapabilities',
    'volumes',
  ]
  for (const field of required) assert.ok(field in scc, `OpenShift's CRD requires ${field}`)
  assert.equal(scc.priority, null)
  assert.deepEqual(scc.runAsUser, { type: 'RunAsAny' })
  assert.deepEqual(scc.fsGroup, { type: 'RunAsAny' })
  for (const field of Object.keys(v2) as (keyof Scc)[]) {
    if (['metadata', 'runAsUser', 'fsGroup', 'allowedCapabilities', 'defaultAddCapabilities'].includes(field))
      continue
    assert.deepEqual(scc[field], v2[field], field)
  }
  assert.deepEqual(scc.allowedCapabilities, [])
  const order = inOrder([scc, v2]).map((each) => each.metadata.name)
  assert.deepEqual(order, ['restricted-v2', 'nemo-customizer-scc'])
})

test("the Customizer's download jobs with user 1000 and group 2000 run under it, those of default do not", {
  skip,
}, () => {
  const objects = onOpenShift(instancesChart)
  const sccs = [...publishedSccs(), ...ours(objects)]
  const job = (seccomp: boolean) => ({
    spec: {
      securityContext: {
        runAsUser: 1000,
        fsGroup: 2000,
        ...(seccomp && { seccompProfile: { type: 'RuntimeDefault' } }),
      },
      containers: [{ name: 'download' }],
    },
  })
  const predict = (serviceAccount: string, seccomp = true) =>
    predictScc({
      pod: job(seccomp),
      namespace: NAMESPACE,
      sccs,
      mayUse: grantsOf({ serviceAccount, namespace: 'nemo', objects }),
    }).scc
  assert.equal(predict('nemocustomizer-sample'), 'nemo-customizer-scc')
  assert.equal(predict('default'), undefined)
  assert.equal(predict('default', false), 'nonroot')
  assert.equal(predict('anybody', false), undefined)
})

test('README.md says of every ServiceAccount which SCCs it may use', { skip }, () => {
  const page = readFileSync(join(instancesChart, 'README.md'), 'utf8')
  const table = /<!-- scc:.*?-->\n([\s\S]*?)<!-- \/scc -->/.exec(page)?.[1] ?? ''
  const objects = onOpenShift(instancesChart)
  const sccs = [...publishedSccs(), ...ours(objects)]
  const said = new Map<string, string[]>()
  for (const line of table.split('\n').filter((l) => l.startsWith('| `'))) {
    const [, names = '', uses = ''] = line.split('|').map((cell) => cell.trim())
    for (const [, name = ''] of names.matchAll(/`([^`]+)`/g)) {
      said.set(name.startsWith('-') ? `nemo-instances${name}` : name, uses.split(', '))
    }
  }
  const accounts = new Set([
    ...objects.filter((o) => o.kind === 'ServiceAccount').map((o) => o.metadata.name),
    'nemocustomizer-sample',
    'default',
  ])
  assert.deepEqual([...said.keys()].sort(), [...accounts].sort())
  for (const [serviceAccount, uses] of said) {
    const mayUse = grantsOf({ serviceAccount, namespace: 'nemo', objects })
    const computed = sccs.filter(mayUse).map((scc) => scc.metadata.name)
    assert.deepEqual(computed.sort(), uses.toSorted(), serviceAccount)
  }
})

interface Rule {
  apiGroups: string[]
  resources: string[]
  resourceNames?: string[]
  verbs: string[]
}
const roleRules = (objects: KubeObject[], name: string): Rule[] =>
  objects.find((o) => o.kind === 'Role' && o.metadata.name === name)?.rules ?? []

const holds = (rules: Rule[], group: string, resource: string, verb: string, name?: string) =>
  rules.some(
    (rule) =>
      rule.apiGroups.includes(group) &&
      rule.resources.includes(resource) &&
      rule.verbs.includes(verb) &&
      (!rule.resourceNames || (name !== undefined && rule.resourceNames.includes(name))),
  )

test('an operator holds what the contract has it grant, since it may not grant more', { skip }, () => {
  const rules = roleRules(onOpenShift(instancesChart), 'nemo-samples-nemo-operator-controller-manager')
  const granted: [string, string, string[]][] = [
    ['batch', 'jobs', ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']],
    ['', 'pods', ['create', 'get', 'list', 'watch', 'delete']],
    ['', 'persistentvolumeclaims', ['create', 'get', 'list', 'watch', 'delete']],
    ['', 'services', ['create', 'get', 'list', 'watch', 'delete']],
    ['', 'configmaps', ['create', 'get', 'list', 'watch', 'delete']],
    ['', 'secrets', ['create', 'get', 'list', 'watch']],
    ['', 'events', ['create', 'get', 'list', 'watch']],
    ['nvidia.com', 'nemotrainingjobs', ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']],
    [
      'nvidia.com',
      'nemotrainingjobs/status',
      ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    ],
    ['nvidia.com', 'nemoentityhandlers', ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']],
    ['batch.volcano.sh', 'jobs', ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']],
    ['scheduling.volcano.sh', 'queues', ['get', 'list', 'watch']],
    ['scheduling.volcano.sh', 'podgroups', ['get', 'list', 'watch']],
    ['nodeinfo.volcano.sh', 'numatopologies', ['get', 'list', 'watch']],
    ['argoproj.io', 'workflows', ['create', 'get', 'update', 'patch', 'delete']],
  ]
  for (const [group, resource, verbs] of granted) {
    for (const verb of verbs) assert.ok(holds(rules, group, resource, verb), `${verb} ${resource}.${group}`)
  }
  assert.ok(holds(rules, 'security.openshift.io', 'securitycontextconstraints', 'use', 'nonroot'))
})

test('rights end at the namespace but for hooks, and nobody has a wildcard', { skip }, () => {
  const objects = onOpenShift(instancesChart)
  for (const object of objects) {
    if (object.kind === 'ClusterRole' || object.kind === 'ClusterRoleBinding') {
      assert.ok(object.metadata.annotations?.['helm.sh/hook'], `${object.kind} ${object.metadata.name} stays`)
    }
    for (const rule of (object.rules ?? []) as Rule[]) {
      for (const list of [rule.apiGroups, rule.resources, rule.verbs]) assert.ok(!list.includes('*'))
      const secrets = rule.resources.includes('secrets') && rule.verbs.includes('get')
      const operator = object.metadata.name.startsWith('nemo-samples-')
      if (secrets && !operator) assert.ok(rule.resourceNames, `${object.metadata.name} reads all Secrets`)
    }
  }
})
