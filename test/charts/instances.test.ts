// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { KINDS, kindDefinition } from '@open-nemo/contract/kubernetes/crds.ts'
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { parse } from 'yaml'
import { wantedSchema } from '../../packages/cli/src/checks/types.ts'
import { HOOK_NAMES } from '../../packages/cli/src/commands/hook.ts'
import { leaves, readValues } from '../../tools/charts/values.ts'
import { instancesChart, type KubeObject, noHelm, type RenderOptions, refusal, render } from './helm.ts'
import { containersOf, podsOf } from './pods.ts'

const skip = noHelm
const OPENSHIFT = ['config.openshift.io/v1', 'security.openshift.io/v1', 'route.openshift.io/v1']

const instances = (options: RenderOptions = {}) =>
  render(instancesChart, { release: 'nemo-instances', ...options })
const find = (objects: KubeObject[], kind: string, name: string): KubeObject => {
  const found = objects.find((o) => o.kind === kind && o.metadata.name === name)
  assert.ok(found, `no ${kind} ${name}`)
  return found
}
const custom = (objects: KubeObject[]) => objects.filter((o) => o.apiVersion === 'apps.nvidia.com/v1alpha1')
const isHook = (o: KubeObject) => o.metadata.annotations?.['helm.sh/hook'] !== undefined

test('the resources of the guide are there, and each fits the schema of its kind', { skip }, () => {
  const resources = custom(instances())
  assert.deepEqual(resources.map((o) => `${o.kind} ${o.metadata.name}`).sort(), [
    'NIMCache nimcache-sample',
    'NIMPipeline nimpipeline-sample',
    'NemoCustomizer nemocustomizer-sample',
    'NemoDatastore nemodatastore-sample',
    'NemoEntitystore nemoentitystore-sample',
    'NemoEvaluator nemoevaluator-sample',
    'NemoGuardrail nemoguardrails-sample',
  ])
  for (const { kind, spec, metadata } of resources) {
    const known = kindDefinition(kind).spec
    const result = known.safeParse(spec)
    assert.ok(result.success, `${kind}: ${result.error}`)
    const shape = 'shape' in known ? Object.keys(known.shape as object) : []
    assert.deepEqual(
      Object.keys(spec).filter((key) => !shape.includes(key)),
      [],
      `${kind} names fields we do not know`,
    )
    assert.equal(metadata.labels?.['app.kubernetes.io/instance'], 'nemo-instances')
  }
})

test('no host is written literally: release and namespace decide', { skip }, () => {
  const text = JSON.stringify(
    instances({ release: 'other', namespace: 'elsewhere', values: { infra: { releaseName: 'base' } } }),
  )
  const literal = /.{0,40}(nemo-infra-|nemo-instances-(?!0\.1)|\.nemo\.svc)/.exec(text)
  assert.equal(literal?.[0], undefined)
  assert.match(text, /base-entity-store-postgresql/)
  assert.match(text, /http:\/\/nemodatastore-sample\.elsewhere\.svc:8000\/v1\/hf/)
  const long = 'a-release-name-of-exactly-fifty-three-characters-long'
  for (const object of instances({ release: long })) {
    assert.ok(object.metadata.name.length <= 63, `${object.kind} ${object.metadata.name}`)
  }
})

test('the operators: names, containers, one image, least rights of a pod', { skip }, () => {
  const objects = instances()
  const nemo = find(objects, 'Deployment', 'nemo-samples-nemo-operator-controller-manager')
  const nim = find(objects, 'Deployment', 'nemo-samples-nim-operator')
  const containers = (o: KubeObject) =>
    o.spec.template.spec.containers.map(
      (c: { name: string; args: string[] }) => `${c.name}: ${c.args.join(' ')}`,
    )
  assert.deepEqual(containers(nemo), ['manager: operator nemo', 'training: operator training'])
  assert.deepEqual(containers(nim), ['manager: operator nim'])
  const images = new Set(podsOf(objects).flatMap((pod) => containersOf(pod).map((c) => c.image)))
  assert.deepEqual([...images], ['localhost/open-nemo/services:0.1.0'])
  for (const pod of podsOf(objects)) {
    assert.equal(pod.annotations['openshift.io/required-scc'], 'restricted-v2', pod.id)
    for (const c of containersOf(pod)) {
      assert.equal(c.securityContext.readOnlyRootFilesystem, true, pod.id)
      assert.ok(c.resources.requests && c.resources.limits, pod.id)
    }
  }
})

test('all images come from global.imageRegistry, their paths kept; the operators are told', { skip }, () => {
  const objects = instances({
    values: { global: { imageRegistry: 'reg.example/mirror', imagePullSecrets: ['p'] } },
  })
  for (const pod of podsOf(objects)) {
    assert.deepEqual(pod.spec.imagePullSecrets, [{ name: 'p' }], pod.id)
    for (const c of containersOf(pod)) assert.equal(c.image, 'reg.example/mirror/open-nemo/services:0.1.0')
  }
  const { data } = find(objects, 'ConfigMap', 'nemo-samples-operator-defaults')
  const defaults = operatorDefaults.parse(parse(data['defaults.yaml']))
  assert.equal(defaults.imageRegistry, 'reg.example/mirror')
  assert.deepEqual(defaults.imagePullSecrets, ['p'])
})

test('the operator defaults carry every value of global, in the shape that the operators read', {
  skip,
}, () => {
  const values = {
    global: {
      runAsUser: 1234,
      fsGroup: 4321,
      scheduling: {
        nodeSelector: { a: 'b' },
        tolerations: [{ key: 'g5-gpu', operator: 'Exists', effect: 'NoSchedule' }],
        affinity: { nodeAffinity: {} },
      },
      customCA: { configMap: 'ca' },
      proxy: { http: 'http://proxy:3128', noProxy: 'intra.example' },
    },
  }
  const read = (apiVersions: string[]) => {
    const objects = instances({ values, apiVersions })
    return operatorDefaults.parse(
      parse(find(objects, 'ConfigMap', 'nemo-samples-operator-defaults').data['defaults.yaml']),
    )
  }
  const defaults = read([])
  assert.equal(defaults.podSecurity, 'kubernetes')
  assert.equal(defaults.runAsUser, 1234)
  assert.deepEqual(defaults.scheduling, values.global.scheduling)
  assert.equal(defaults.customCA.configMap, 'ca')
  assert.match(defaults.proxy.noProxy, /nemodatastore-sample.*nemo-infra-minio.*intra\.example/)
  assert.equal(read(OPENSHIFT).podSecurity, 'openshift')
  for (const pod of podsOf(instances({ values }))) {
    assert.deepEqual(pod.spec.tolerations, values.global.scheduling.tolerations, pod.id)
    assert.equal(pod.spec.securityContext.runAsUser, 1234, pod.id)
    for (const { env } of containersOf(pod)) {
      const value = (name: string) => env.find((e: { name: string }) => e.name === name)?.value
      assert.equal(value('HTTP_PROXY'), 'http://proxy:3128', pod.id)
      assert.match(value('no_proxy'), /^\$\(KUBERNETES_SERVICE_HOST\),.*\.svc,.*intra\.example$/, pod.id)
      assert.equal(value('HTTPS_PROXY'), undefined, 'what is not given is not set')
      assert.equal(value('NODE_EXTRA_CA_CERTS'), '/etc/custom-ca/ca-bundle.crt', pod.id)
    }
  }
  for (const pod of podsOf(instances({ values, apiVersions: OPENSHIFT }))) {
    assert.equal(pod.spec.securityContext.runAsUser, undefined, pod.id)
    assert.equal(pod.spec.securityContext.fsGroup, undefined, pod.id)
  }
})

test("unknown values and a namespace that is not the release's are refused with the reason", { skip }, () => {
  const refused = (values: object) => refusal(instancesChart, { release: 'r', values }) ?? ''
  assert.match(refused({ bogus: 1 }), /bogus/)
  assert.match(refused({ nemoEvaluator: { imagee: {} } }), /imagee/)
  assert.match(
    refused({ namespace: { name: 'other' } }),
    /namespace\.name is "other" but the release goes to namespace "nemo"/,
  )
  assert.match(refused({ expose: { type: 'route' } }), /expose\.host/)
  assert.equal(refused({ namespace: { name: 'nemo' } }), '')
})

test('hooks vanish whatever comes of them, and what they run exists', { skip }, () => {
  const hooks = instances({ apiVersions: OPENSHIFT }).filter(isHook)
  assert.deepEqual([...new Set(hooks.map((o) => o.metadata.annotations?.['helm.sh/hook']))].sort(), [
    'post-install,post-upgrade',
    'pre-delete',
    'pre-install,pre-upgrade',
    'pre-upgrade',
  ])
  for (const { kind, metadata } of hooks) {
    const id = `${kind} ${metadata.name}`
    assert.equal(
      metadata.annotations?.['helm.sh/hook-delete-policy'],
      'before-hook-creation,hook-succeeded,hook-failed',
      id,
    )
    if (kind === 'Job')
      assert.equal(metadata.annotations?.['helm.sh/hook-output-log-policy'], 'hook-failed', id)
  }
  for (const pod of podsOf(instances())) {
    const [command, name] = containersOf(pod)[0].args
    if (command === 'hook') assert.ok(HOOK_NAMES.includes(name), `${pod.id}: no hook ${name}`)
  }
  const jobs = hooks.filter((o) => o.kind === 'Job')
  for (const job of jobs) assert.ok(job.spec.activeDeadlineSeconds <= 300, job.metadata.name)
})

test('the cleanup names each resource of the release, and has no right to any other of these kinds', {
  skip,
}, () => {
  const objects = instances({ release: 'r' })
  const [container] = find(objects, 'Job', 'r-cleanup').spec.template.spec.containers
  const env = Object.fromEntries(container.env.map((e: { name: string; value: string }) => [e.name, e.value]))
  assert.equal(env.RELEASE, 'r')
  assert.deepEqual(
    JSON.parse(env.RESOURCES)
      .map((r: { kind: string; name: string }) => `${r.kind} ${r.name}`)
      .sort(),
    custom(objects)
      .map((o) => `${o.kind} ${o.metadata.name}`)
      .sort(),
  )
  for (const rule of find(objects, 'Role', 'r-cleanup').rules) {
    assert.ok(
      !rule.verbs.includes('*') && !rule.resources.includes('*') && !rule.verbs.includes('deletecollection'),
    )
    const owned = ['nimservices', 'nemotrainingjobs'].some((kind) => rule.resources.includes(kind))
    if (rule.verbs.includes('delete') && !owned) assert.equal(rule.resourceNames?.length, 1)
  }
})

test('the check knows what is needed, NGC credentials only when NVIDIA is named', { skip }, () => {
  const wanted = (values: object = {}) => {
    const [container] = find(instances({ release: 'r', values }), 'Job', 'r-preflight').spec.template.spec
      .containers
    const text = container.env.find((e: { name: string }) => e.name === 'WANTED').value
    return wantedSchema.parse(JSON.parse(text))
  }
  const plain = wanted()
  assert.deepEqual(plain.secrets, [])
  assert.equal(plain.claims, 2)
  assert.deepEqual(plain.services.toSorted(), [
    'nemo-infra-customizer-postgresql',
    'nemo-infra-datastore-postgresql',
    'nemo-infra-entity-store-postgresql',
    'nemo-infra-evaluator-postgresql',
    'nemo-infra-guardrail-postgresql',
  ])
  assert.equal(plain.pods.length, 8)
  const nim = { nimPipeline: { image: { repository: 'nvcr.io/nim/meta/llama', tag: '1' }, gpus: 1 } }
  const nvidia = wanted(nim)
  assert.deepEqual(
    nvidia.secrets.map((s) => s.name),
    ['ngc-secret', 'ngc-api-secret'],
  )
  assert.equal(nvidia.gpus, 1)
  const pipeline = custom(instances({ values: nim })).find((o) => o.kind === 'NIMPipeline')
  assert.equal(pipeline?.spec.services[0].spec.resources.limits['nvidia.com/gpu'], '1')
  assert.deepEqual(pipeline?.spec.services[0].spec.image.pullSecrets, ['ngc-secret'])
  assert.deepEqual(wanted({ nemoEvaluator: { databaseHost: 'db.example' } }).services.length, 4)
})

test('further fields of a spec win over those of the chart', { skip }, () => {
  const values = {
    nemoGuardrail: { spec: { replicas: 3, nimEndpoint: { baseURL: 'https://llm.example/v1' } } },
    nimCache: {
      spec: { source: { hf: { endpoint: 'https://hub.example', namespace: 'a', modelName: 'b' } } },
    },
  }
  const resources = custom(instances({ values }))
  const guardrail = resources.find((o) => o.kind === 'NemoGuardrail')
  assert.equal(guardrail?.spec.replicas, 3)
  assert.equal(guardrail?.spec.nimEndpoint.baseURL, 'https://llm.example/v1')
  assert.deepEqual(resources.find((o) => o.kind === 'NIMCache')?.spec.source, values.nimCache.spec.source)
})

test('the CRDs that the upgrade hook may change are exactly those of crds/', { skip }, () => {
  const files = globSync('crds/*.yaml', { cwd: instancesChart })
  const names = files
    .map((file) => parse(readFileSync(join(instancesChart, file), 'utf8')).metadata.name)
    .sort()
  assert.deepEqual(names, KINDS.map((k) => `${k.plural}.${k.group}`).sort())
  const role = find(instances({ release: 'r' }), 'ClusterRole', 'nemo-r-crds')
  assert.deepEqual(role.rules[0].resourceNames.toSorted(), names)
  assert.deepEqual(role.rules[1].verbs, ['create'])
  // The API server drops what is empty; whoever applies the CRD next would meet a conflict over it.
  for (const file of files)
    assert.doesNotMatch(readFileSync(join(instancesChart, file), 'utf8'), /properties: \{\}$/m)
})

test('a value that changes rolls a pod only where it must', { skip }, () => {
  const templates = (values: object) =>
    Object.fromEntries(podsOf(instances({ values })).map((pod) => [pod.id, JSON.stringify(pod.spec)]))
  const before = templates({})
  const nemo = 'Deployment/nemo-samples-nemo-operator-controller-manager'
  assert.notEqual(templates({ operators: { logLevel: 'debug' } })[nemo], before[nemo])
  // The operators read it from the mounted ConfigMap.
  assert.equal(templates({ volcanoQueue: 'other' })[nemo], before[nemo])
})

test('every value says what it is, and README.md has the anchors that the guide links to', () => {
  const values = readValues(readFileSync(join(instancesChart, 'values.yaml'), 'utf8'))
  const silent = leaves(values).filter((value) => !value.description)
  assert.deepEqual(
    silent.map((value) => value.path),
    [],
  )
  const readme = readFileSync(join(instancesChart, 'README.md'), 'utf8')
  for (const anchor of ['Prerequisites', 'Configuration', 'Troubleshooting']) {
    assert.match(readme, new RegExp(`^## ${anchor}$`, 'm'))
  }
})

test('the operators look into further namespaces only on request, with rights there', { skip }, () => {
  const roles = (namespaces: string[]) => {
    const objects = instances({ values: { operators: { namespaces } } })
    const bound = objects.filter(
      (o) => /Role$/.test(o.kind) && o.metadata.name.endsWith('nemo-samples-nim-operator') && !isHook(o),
    )
    const [container] = find(objects, 'Deployment', 'nemo-samples-nim-operator').spec.template.spec.containers
    const { value } = container.env.find((e: { name: string }) => e.name === 'NEMO_OPERATOR_NAMESPACES') ?? {}
    return { value, roles: bound.map((o) => `${o.kind} ${o.metadata.namespace ?? ''}`.trim()).sort() }
  }
  assert.deepEqual(roles([]), { value: undefined, roles: ['Role nemo'] })
  assert.deepEqual(roles(['other']), { value: 'nemo,other', roles: ['Role nemo', 'Role other'] })
  assert.deepEqual(roles(['*']), { value: 'nemo,*', roles: ['ClusterRole', 'Role nemo'] })
})
