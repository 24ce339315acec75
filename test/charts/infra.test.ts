// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { GRANTED_TO_ALL, predictScc, publishedSccs } from '../../packages/cli/src/scc/index.ts'
import { INFRA_NAMES } from '../cluster/support/guide.ts'
import { helms, infraChart, type KubeObject, noHelm, refusal, render, runHelm } from './helm.ts'
import { againstTable, imageTable } from './image-table.ts'
import { containersOf, imagesOf, podsOf } from './pods.ts'
import { unrepeatable, violations } from './policies/index.ts'

const skip = noHelm

const SWITCHES = {
  customizerPostgresql: ['nemo-infra-customizer-postgresql'],
  datastorePostgresql: ['nemo-infra-datastore-postgresql'],
  entityStorePostgresql: ['nemo-infra-entity-store-postgresql'],
  evaluatorPostgresql: ['nemo-infra-evaluator-postgresql'],
  guardrailPostgresql: ['nemo-infra-guardrail-postgresql'],
  mlflow: ['nemo-infra-customizer-mlflow-tracking'],
  milvus: ['nemo-infra-evaluator-milvus-standalone'],
  customizerOpentelemetry: ['nemo-infra-customizer-opentelemetry'],
  evaluatorOpentelemetry: ['nemo-infra-evaluator-opentelemetry'],
  argo: ['nemo-infra-argo-workflows-server', 'nemo-infra-argo-workflows-workflow-controller'],
  volcano: ['nemo-infra-volcano-scheduler', 'nemo-infra-volcano-controllers'],
  jupyter: ['jupyter-notebook'],
}

const running = (objects: KubeObject[]) =>
  podsOf(objects)
    .filter((pod) => pod.owner.kind !== 'Job')
    .map((pod) => pod.owner.metadata.name)

test('the pods are those of the guide, and Volcano', { skip }, () => {
  assert.deepEqual(running(render(infraChart)).sort(), [...INFRA_NAMES, ...SWITCHES.volcano].sort())
})

test('each switch takes away its own part and nothing else', { skip }, () => {
  const all = render(infraChart)
  for (const [part, names] of Object.entries(SWITCHES)) {
    const without = render(infraChart, { values: { install: { [part]: false } } })
    const gone = running(all).filter((name) => !running(without).includes(name))
    assert.deepEqual(gone.sort(), [...names].sort(), part)
    const left = without.filter((object) => names.includes(object.metadata.name))
    assert.deepEqual(left, [], `objects of ${part}`)
    assert.deepEqual(violations({ objects: without, podSecurity: 'kubernetes' }), [], part)
  }
})

test('all of the combinations of the larger parts render and keep the rules', { skip }, () => {
  const parts = ['argo', 'volcano', 'milvus', 'jupyter'] as const
  for (let bits = 0; bits < 2 ** parts.length; bits++) {
    const install = Object.fromEntries(parts.map((part, i) => [part, Boolean(bits & (1 << i))]))
    const objects = render(infraChart, { values: { install } })
    assert.deepEqual(violations({ objects, podSecurity: 'kubernetes' }), [], JSON.stringify(install))
  }
  const nothing = { ...SWITCHES, postgresql: 0, minio: 0 }
  const install = Object.fromEntries(Object.keys(nothing).map((part) => [part, false]))
  assert.deepEqual(render(infraChart, { values: { install } }), [])
})

test('CRDs of a part come with it and go with it', { skip }, () => {
  const crds = (install: object) =>
    render(infraChart, { values: { install }, args: ['--include-crds'] })
      .filter((object) => object.kind === 'CustomResourceDefinition')
      .map((object) => object.metadata.name)
  assert.equal(crds({}).filter((name) => name.endsWith('argoproj.io')).length, 6)
  assert.equal(crds({}).filter((name) => name.endsWith('volcano.sh')).length, 4)
  assert.deepEqual(crds({ argo: false, volcano: false }), [])
  const minimal = render(infraChart, {
    args: ['--include-crds', '-f', join(infraChart, 'values-minimal.yaml')],
  })
  const ofCluster = ['CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding']
  assert.deepEqual(
    minimal.filter(({ kind }) => ofCluster.includes(kind)),
    [],
  )
  assert.deepEqual(running(minimal), running(render(infraChart, { values: { profile: 'minimal' } })))
  const podGroups = render(infraChart, { args: ['--include-crds'] }).find(
    (object) => object.metadata.name === 'podgroups.scheduling.volcano.sh',
  )
  assert.equal(
    podGroups?.spec.versions[0].subresources,
    undefined,
    'the scheduler could not write its status',
  )
})

for (const profile of ['full', 'minimal']) {
  for (const podSecurity of ['openshift', 'kubernetes'] as const) {
    test(`every rule holds: ${profile} on ${podSecurity}`, { skip }, () => {
      const objects = render(infraChart, { values: { profile, global: { podSecurity } } })
      assert.deepEqual(violations({ objects, podSecurity }), [])
      assert.deepEqual(
        podsOf(objects).flatMap((pod) => againstTable(pod, imageTable())),
        [],
      )
    })
  }
}

test("OpenShift's admission runs every pod under restricted-v2, with what every ServiceAccount is granted", {
  skip,
}, () => {
  const range = {
    'openshift.io/sa.scc.uid-range': '1000660000/10000',
    'openshift.io/sa.scc.mcs': 's0:c26,c5',
  }
  const namespace = { metadata: { name: 'nemo', annotations: range } }
  const objects = render(infraChart, { apiVersions: ['config.openshift.io/v1'] })
  for (const { id, annotations, spec } of podsOf(objects)) {
    const prediction = predictScc({
      pod: { metadata: { annotations }, spec },
      namespace,
      sccs: publishedSccs(),
      mayUse: (scc) => GRANTED_TO_ALL.includes(scc.metadata.name),
    })
    assert.equal(prediction.scc, 'restricted-v2', `${id}: ${JSON.stringify(prediction)}`)
  }
  const granted = objects.filter((object) =>
    JSON.stringify(object.rules ?? []).includes('securitycontextconstraints'),
  )
  assert.deepEqual(granted, [])
})

test('OpenShift is told by its own API, not by that of the SCCs', { skip }, () => {
  const fixed = (apiVersions: string[]) =>
    podsOf(render(infraChart, { apiVersions })).some((pod) => 'runAsUser' in pod.spec.securityContext)
  assert.equal(fixed([]), true)
  assert.equal(fixed(['security.openshift.io/v1']), true)
  assert.equal(fixed(['config.openshift.io/v1']), false)
})

test('minimal is five pods on one PostgreSQL, which all five names lead to', { skip }, () => {
  const objects = render(infraChart, { values: { profile: 'minimal' } })
  assert.deepEqual(running(objects).sort(), [
    'nemo-infra-customizer-mlflow-tracking',
    'nemo-infra-customizer-opentelemetry',
    'nemo-infra-evaluator-opentelemetry',
    'nemo-infra-minio',
    'nemo-infra-postgresql',
  ])
  const services = objects.filter((o) => o.kind === 'Service' && o.metadata.name.endsWith('-postgresql'))
  assert.equal(services.length, 6)
  for (const { spec } of services) assert.equal(spec.selector['app.kubernetes.io/name'], 'postgresql')
  const server = objects.find((object) => object.kind === 'StatefulSet')
  const databases = server?.spec.template.spec.containers[0].env.find(
    (e: { name: string }) => e.name === 'DATABASES',
  )
  assert.equal(databases.value.trim().split('\n').length, 6)
})

test('any release and namespace will do, and names stay within their limits', { skip }, () => {
  const long = 'a-release-name-of-exactly-fifty-three-characters-long'
  assert.equal(long.length, 53)
  for (const [release, namespace] of [
    ['x', 'y'],
    ['nemo-infra2', 'team-a'],
    [long, 'n'.repeat(63)],
  ] as const) {
    const objects = render(infraChart, { release, namespace })
    assert.deepEqual(violations({ objects, podSecurity: 'kubernetes' }), [])
    const text = JSON.stringify(objects).replaceAll('"nemo-infra-0.1.0"', '')
    assert.ok(
      !text.includes('"nemo-infra-') && !text.includes('//nemo-infra-'),
      'a name is written literally',
    )
    const foreign = objects.filter(
      (o) => o.metadata.namespace !== undefined && o.metadata.namespace !== namespace,
    )
    assert.deepEqual(foreign, [])
  }
  const [a, b] = ['one', 'two'].map((namespace) => render(infraChart, { namespace }))
  const cluster = (objects: KubeObject[] = []) =>
    objects.filter((o) => o.kind.startsWith('Cluster')).map((o) => `${o.kind}/${o.metadata.name}`)
  assert.equal(new Set([...cluster(a), ...cluster(b)]).size, 8, 'two releases share cluster objects')
})

test("Volcano's cluster objects carry the label by which the guide deletes them; there is no webhook", {
  skip,
}, () => {
  const objects = render(infraChart)
  const cluster = objects.filter((object) => object.kind.startsWith('Cluster'))
  assert.equal(cluster.length, 4)
  for (const object of cluster) assert.equal(object.metadata.labels?.component, 'volcano')
  assert.deepEqual(
    objects.filter((object) => object.kind.includes('Webhook')),
    [],
  )
})

test('registry, pull secrets, scheduling, proxy and authorities reach every pod, workflow pods too', {
  skip,
}, () => {
  const tolerations = [{ key: 'g5-gpu', operator: 'Exists', effect: 'NoSchedule' }]
  const objects = render(infraChart, {
    values: {
      global: {
        imageRegistry: 'registry.example:5000/mirror',
        imagePullSecrets: ['ngc-secret'],
        scheduling: { tolerations, nodeSelector: { 'kubernetes.io/os': 'linux' } },
        customCA: { configMap: 'trusted-ca' },
        proxy: { https: 'http://proxy.example:3128', noProxy: 'intranet.example' },
        storageClass: 'fast',
      },
    },
  })
  for (const image of imagesOf(objects))
    assert.match(image, /^registry\.example:5000\/mirror\/[a-z-]+\/[a-z0-9-]+:/)
  for (const pod of podsOf(objects)) {
    assert.deepEqual(pod.spec.imagePullSecrets, [{ name: 'ngc-secret' }], pod.id)
    assert.deepEqual(pod.spec.tolerations, tolerations, pod.id)
    assert.deepEqual(pod.spec.nodeSelector, { 'kubernetes.io/os': 'linux' }, pod.id)
    for (const container of containersOf(pod)) {
      const env = Object.fromEntries(
        container.env.map((e: { name: string; value: string }) => [e.name, e.value]),
      )
      assert.equal(env.HTTPS_PROXY, 'http://proxy.example:3128', pod.id)
      assert.match(env.NO_PROXY, /\.svc,.*nemo-infra-minio,.*intranet\.example$/)
      const direct: string[] = env.NO_PROXY.split(',')
      // What a variable names by a Service of the namespace is not asked of the proxy.
      for (const [, host = ''] of JSON.stringify(container.env).matchAll(/http:\/\/([a-z0-9-]+)[:"/]/g))
        assert.ok(direct.includes(host), `${pod.id}: ${host}`)
      assert.equal(env.SSL_CERT_FILE, '/etc/open-nemo/ca/ca-bundle.crt', pod.id)
      assert.ok(
        container.volumeMounts.some((m: { mountPath: string }) => m.mountPath === '/etc/open-nemo/ca'),
      )
    }
  }
  const argo = objects.find((object) => object.metadata.name === 'workflow-controller-configmap')?.data.config
  for (const part of [
    'g5-gpu',
    'ngc-secret',
    'proxy.example',
    'trusted-ca',
    'readOnlyRootFilesystem',
    'automountServiceAccountToken: true',
  ])
    assert.ok(argo.includes(part), `workflow pods lack ${part}`)
  const claims = objects.filter((object) => object.kind === 'PersistentVolumeClaim')
  assert.ok(claims.every((claim) => claim.spec.storageClassName === 'fast'))
})

test('unknown values are refused, and impossible ones say what to do', { skip }, () => {
  for (const values of [
    { instal: {} },
    { install: { argoo: true } },
    { global: { image: '' } },
    { profile: 'tiny' },
    { postgresql: { resources: { request: {} } } },
    { argocrds: { x: 1 } },
  ]) {
    assert.ok(refusal(infraChart, { values }), JSON.stringify(values))
  }
  assert.match(refusal(infraChart, { values: { install: { minio: false } } }) ?? '', /mlflow\.s3\.endpoint/)
  assert.match(
    refusal(infraChart, { values: { install: { postgresql: false } } }) ?? '',
    /install\.postgresql/,
  )
  const s3 = { endpoint: 'https://s3.example', existingSecret: 's3' }
  assert.equal(refusal(infraChart, { values: { install: { minio: false }, mlflow: { s3 } } }), undefined)
})

test('the job that makes passwords is new when its work is, and may do no more than it does', {
  skip,
}, () => {
  const job = (values: object) => render(infraChart, { values }).find((object) => object.kind === 'Job')
  assert.equal(job({})?.metadata.name, job({ milvus: { storage: { size: '1Gi' } } })?.metadata.name)
  assert.notEqual(job({})?.metadata.name, job({ install: { jupyter: false } })?.metadata.name)
  assert.equal(job({})?.metadata.annotations, undefined, 'it is no hook, so that it runs without Helm too')
  const role = render(infraChart).find((o) => o.kind === 'Role' && o.metadata.name === 'nemo-infra-passwords')
  assert.deepEqual(
    role?.rules.map((rule: { verbs: string[] }) => rule.verbs),
    [['create'], ['get']],
  )
  const env = job({})?.spec.template.spec.containers[0].env
  const named = JSON.parse(env.find((e: { name: string }) => e.name === 'SECRETS').value)
  assert.deepEqual(
    named.map((secret: { name: string }) => secret.name),
    role?.rules[1].resourceNames,
  )
})

test('every Helm renders the same, twice, and finds nothing to complain about', { skip }, () => {
  const [first, ...others] = helms().map((helm) => JSON.stringify(render(infraChart, { helm })))
  assert.equal(JSON.stringify(render(infraChart)), first)
  for (const other of others) assert.equal(other, first)
  for (const helm of helms())
    assert.match(runHelm(['lint', '--quiet', infraChart], { helm }), /^$|0 chart\(s\) failed/)
  assert.deepEqual(unrepeatable(infraChart), [])
})
