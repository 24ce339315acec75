// SPDX-License-Identifier: Apache-2.0
// The resources of the chart, given to the operators' own controllers: nothing is missing, what they make is admitted on
// OpenShift, and they hold every right that they write with or hand on.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { KINDS } from '@open-nemo/contract/kubernetes/crds.ts'
import { CONTROLLERS } from '@open-nemo/operator/controllers.ts'
import type { Controller, KubeObject, Plan } from '@open-nemo/operator/framework/types.ts'
import { fakeWorld } from '@open-nemo/operator/pod-basics/testing.ts'
import { parse } from 'yaml'
import { grantsOf, predictScc, publishedSccs, type Scc } from '../../packages/cli/src/scc/index.ts'
import { instancesChart, noHelm, render } from './helm.ts'
import { podsOf } from './pods.ts'

const NAMESPACE = {
  metadata: {
    name: 'ns',
    annotations: {
      'openshift.io/sa.scc.uid-range': '1000790000/10000',
      'openshift.io/sa.scc.mcs': 's0:c28,c7',
    },
  },
}
const OPERATORS = {
  nemo: 'nemo-samples-nemo-operator-controller-manager',
  training: 'nemo-samples-nemo-operator-controller-manager',
  nim: 'nemo-samples-nim-operator',
} as const

interface Rule {
  apiGroups: string[]
  resources: string[]
  resourceNames?: string[]
  verbs: string[]
}

interface Made {
  operator: keyof typeof OPERATORS
  controller: Controller
  resource: KubeObject
  plan: Plan
}

const chart = (values: object = {}) =>
  render(instancesChart, {
    release: 'nemo-instances',
    namespace: 'ns',
    apiVersions: ['config.openshift.io/v1', 'security.openshift.io/v1'],
    values,
  }) as KubeObject[]

/** What every controller plans for the chart's resources, once the Secrets are there; pipelines make their services. */
async function planAll(objects: KubeObject[]): Promise<Made[]> {
  const secrets = ['customizer', 'datastore', 'entity-store', 'evaluator', 'guardrail'].map((part) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${part}-pg-existing-secret`, uid: part },
    data: { password: Buffer.from('secret').toString('base64') },
  }))
  const defaults = objects.find((o) => o.metadata.name === 'nemo-samples-operator-defaults')
  const { 'defaults.yaml': text = '' } = (defaults?.data ?? {}) as Record<string, string>
  const world = fakeWorld([...objects, ...secrets], { defaults: parse(text) })
  const made: Made[] = []
  let todo = objects.filter((o) => KINDS.some((k) => k.kind === o.kind))
  while (todo.length > 0) {
    const next: KubeObject[] = []
    for (const operator of ['nemo', 'training', 'nim'] as const) {
      for (const load of CONTROLLERS[operator]) {
        const controller = await load()
        for (const each of todo.filter((o) => o.kind === controller.kind)) {
          const resource = {
            ...each,
            metadata: { uid: each.metadata.name, generation: 1, namespace: 'ns', ...each.metadata },
          }
          const plan = await controller.plan(resource, world)
          made.push({ operator, controller, resource, plan })
          next.push(...plan.apply.filter((o) => KINDS.some((k) => k.kind === o.kind)))
        }
      }
    }
    todo = next
  }
  return made
}

const plural = (kind: string) =>
  ({ Ingress: 'ingresses', NetworkPolicy: 'networkpolicies' })[kind] ?? `${kind.toLowerCase()}s`
const groupOf = (apiVersion: string) => (apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '')

/** Each right that a rule gives, one by one. */
const rightsIn = (rule: Rule) =>
  rule.apiGroups.flatMap((group) =>
    rule.resources.flatMap((resource) =>
      rule.verbs.map((verb) => ({ group, resource, verb, name: rule.resourceNames?.[0] })),
    ),
  )

function holds(
  rules: Rule[],
  wanted: { group: string; resource: string; verb: string; name?: string },
): boolean {
  return rules.some(
    (rule) =>
      rule.apiGroups.includes(wanted.group) &&
      rule.resources.includes(wanted.resource) &&
      rule.verbs.includes(wanted.verb) &&
      (!rule.resourceNames || rule.resourceNames.includes(wanted.name ?? '')),
  )
}

describe('the resources of nemo-instances under the operators', { skip: noHelm }, () => {
  let objects: KubeObject[] = []
  let made: Made[] = []
  const rulesOf = (operator: keyof typeof OPERATORS): Rule[] =>
    (objects.find((o) => o.kind === 'Role' && o.metadata.name === OPERATORS[operator])?.rules ?? []) as Rule[]

  before(async () => {
    objects = chart()
    made = await planAll(objects)
  })

  test('every resource is planned, and nothing that it names is missing or unknown', () => {
    assert.ok(made.length >= 7, `${made.length} resources`)
    for (const { resource, plan } of made) {
      const conditions = (plan.status.conditions ?? []) as {
        type: string
        reason?: string
        message?: string
      }[]
      const id = `${resource.kind} ${resource.metadata.name}`
      for (const { type, reason, message } of conditions) {
        assert.notEqual(reason, 'InvalidSpec', `${id}: ${message}`)
        if (resource.kind.startsWith('Nemo')) {
          assert.notEqual(reason, 'DependencyMissing', `${id}: ${type}: ${message}`)
        }
      }
      assert.ok(plan.apply.length > 0, `${id} makes nothing`)
    }
  })

  test('what they make is admitted under restricted-v2, with the grants of its own account', () => {
    const pods = made.flatMap(({ plan }) => podsOf(plan.apply as Parameters<typeof podsOf>[0]))
    assert.ok(pods.length >= 6, `${pods.length} pods`)
    const everything = [...objects, ...made.flatMap(({ plan }) => plan.apply)]
    const sccs = [
      ...publishedSccs(),
      ...objects.filter((o) => o.kind === 'SecurityContextConstraints'),
    ] as Scc[]
    for (const { id, annotations, spec } of pods) {
      const { scc, refused } = predictScc({
        pod: { metadata: { annotations }, spec },
        namespace: NAMESPACE,
        sccs,
        mayUse: grantsOf({
          serviceAccount: spec.serviceAccountName,
          namespace: 'ns',
          objects: everything as never,
        }),
      })
      assert.equal(scc, 'restricted-v2', `${id}: ${JSON.stringify(refused)}`)
    }
  })

  test('an operator may write every object that it plans, and read all that it watches', () => {
    const optionalToo = /volcano|kserve|monitoring|gateway/
    for (const { operator, controller, plan, resource } of made) {
      const group = groupOf(controller.apiVersion)
      const wanted = [
        ...plan.apply.flatMap(({ apiVersion, kind }) =>
          ['create', 'patch', 'get', 'list', 'watch'].map((verb) => ({ apiVersion, kind, verb })),
        ),
        ...controller.owns
          .filter(({ apiVersion, optional }) => !optional || optionalToo.test(apiVersion))
          .flatMap(({ apiVersion, kind }) => ['list', 'watch'].map((verb) => ({ apiVersion, kind, verb }))),
      ].map(({ apiVersion, kind, verb }) => ({ group: groupOf(apiVersion), resource: plural(kind), verb }))
      wanted.push({ group, resource: `${controller.plural}/status`, verb: 'patch' })
      wanted.push({ group, resource: `${controller.plural}/finalizers`, verb: 'update' })
      for (const right of wanted) {
        assert.ok(holds(rulesOf(operator), right), `${operator}, ${resource.kind}: ${JSON.stringify(right)}`)
      }
    }
  })

  test('an operator holds every right that it grants, with NVIDIA images and Volcano too', async () => {
    const image = { repository: 'nvcr.io/nvidia/nemo-microservices/thing', tag: '1' }
    const values = Object.fromEntries(
      ['nemoDatastore', 'nemoEntitystore', 'nemoEvaluator', 'nemoGuardrail', 'nimPipeline'].map((key) => [
        key,
        { image },
      ]),
    )
    const nvidia = await planAll(chart({ ...values, nemoCustomizer: { image, scheduler: 'volcano' } }))
    const granted = [...made, ...nvidia].flatMap(({ operator, plan }) =>
      plan.apply
        .filter((o) => o.kind === 'Role')
        .flatMap((role) => role.rules as Rule[])
        .flatMap((rule) => rightsIn(rule))
        .map((right) => ({ operator, right })),
    )
    assert.ok(granted.length > 30, `${granted.length} rights`)
    for (const { operator, right } of granted) {
      assert.ok(holds(rulesOf(operator), right), `${operator} grants ${JSON.stringify(right)}`)
    }
  })
})
