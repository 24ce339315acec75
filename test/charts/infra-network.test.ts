// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { infraChart, type KubeObject, noHelm, render } from './helm.ts'
import { type End, type Flow, permitted } from './network.ts'
import { podsOf } from './pods.ts'

const skip = noHelm

/** A pod that deploy/nemo-instances, or its operators, make in the same namespace. */
const stranger: End = { labels: { app: 'nemocustomizer-sample' } }
const workflow: End = { labels: { 'workflows.argoproj.io/workflow': 'w' } }

function ends(objects: KubeObject[]): (part: string) => End {
  const pods = podsOf(objects)
  return (part) => {
    const pod = pods.find((candidate) => candidate.labels['app.kubernetes.io/name'] === part)
    assert.ok(pod, `a pod of ${part}`)
    return { labels: pod.labels }
  }
}

/** The pods behind a Service and the port that they get: policies see pods, not Services. */
function serviceFlows(objects: KubeObject[], from: End): (Flow & { name: string })[] {
  return objects
    .filter((object) => object.kind === 'Service')
    .flatMap(({ metadata: { name }, spec }) => {
      const pod = podsOf(objects).find((candidate) =>
        Object.entries(spec.selector).every(([key, value]) => candidate.labels[key] === value),
      )
      assert.ok(pod, `Service ${name} leads to no pod`)
      return spec.ports.map((port: { name: string; targetPort: string }) => {
        const ports = pod.spec.containers.flatMap((c: { ports?: object[] }) => c.ports ?? [])
        const target = ports.find((p: { name: string }) => p.name === port.targetPort)
        assert.ok(target, `Service ${name} leads to port ${port.targetPort}, which no container has`)
        return { name: `${name}:${port.name}`, from, to: { labels: pod.labels }, port: target.containerPort }
      })
    })
}

const blocked = (objects: KubeObject[], flows: (Flow & { name?: string })[]) =>
  flows.filter((flow) => !permitted(objects, flow)).map((flow) => flow.name ?? JSON.stringify(flow))

for (const egress of [false, true]) {
  for (const shared of [false, true]) {
    const values = { networkPolicy: { egress }, postgresql: { shared } }
    const title = `egress ${egress ? 'closed' : 'open'}, ${shared ? 'one PostgreSQL' : 'six'}`

    test(`what is needed is let through (${title})`, { skip }, () => {
      const objects = render(infraChart, { values })
      const end = ends(objects)
      const needed: Flow[] = [
        { from: end('mlflow-tracking'), to: end('postgresql'), port: 5432 },
        { from: end('mlflow-tracking'), to: end('minio'), port: 9000 },
        { from: end('jupyter'), to: stranger, port: 8000 },
        { from: end('jupyter'), to: end('mlflow-tracking'), port: 5000 },
        { from: workflow, to: stranger, port: 7331 },
        ...[
          'passwords',
          'argo-workflows-server',
          'argo-workflows-workflow-controller',
          'volcano-scheduler',
          'volcano-controllers',
        ].flatMap((part): Flow[] => toTheApiServer(end(part))),
        ...toTheApiServer(workflow),
        ...['passwords', 'mlflow-tracking', 'jupyter', 'argo-workflows-server'].flatMap((part) =>
          toNames(end(part)),
        ),
        ...toNames(workflow),
      ]
      assert.deepEqual(blocked(objects, needed), [])
      const metrics = /:metrics$/
      // MLflow's database is nobody else's, and metrics are for those who are let in.
      const own = shared ? metrics : /:metrics$|nemo-infra-postgresql/
      const served = serviceFlows(objects, stranger)
      assert.deepEqual(
        blocked(
          objects,
          served.filter(({ name }) => !own.test(name)),
        ),
        [],
      )
      const closed = served.filter(({ name }) => own.test(name))
      assert.deepEqual(blocked(objects, closed).length, closed.length)
    })
  }
}

const toTheApiServer = (from: End): Flow[] =>
  [443, 6443].map((port) => ({ from, to: 'outside' as const, port }))
const toNames = (from: End): Flow[] =>
  [53, 5353].flatMap((port) => [
    { from, to: 'outside' as const, port, protocol: 'UDP' as const },
    { from, to: 'outside' as const, port, protocol: 'TCP' as const },
  ])

test('what is not needed is not let through', { skip }, () => {
  const objects = render(infraChart, { values: { networkPolicy: { egress: true } } })
  const end = ends(objects)
  const refused: Flow[] = [
    { from: 'outside', to: end('minio'), port: 9000 },
    { from: 'outside', to: end('customizer-postgresql'), port: 5432 },
    { from: stranger, to: end('postgresql'), port: 5432 },
    { from: stranger, to: end('volcano-scheduler'), port: 11251 },
    { from: end('milvus'), to: 'outside', port: 443 },
    { from: end('customizer-postgresql'), to: end('datastore-postgresql'), port: 5432 },
    { from: end('mlflow-tracking'), to: 'outside', port: 443 },
  ]
  assert.deepEqual(
    refused.filter((flow) => permitted(objects, flow)),
    [],
  )
})

test('every pod has a policy, and others are let in on request', { skip }, () => {
  const monitoring = { namespaceSelector: { matchLabels: { name: 'monitoring' } } }
  const values = { networkPolicy: { metricsFrom: [monitoring], ingressFrom: [monitoring] } }
  const objects = render(infraChart, { values })
  const end = ends(objects)
  for (const [part, port] of [
    ['volcano-scheduler', 8080],
    ['customizer-opentelemetry', 8888],
    ['minio', 9001],
  ] as const) {
    assert.ok(permitted(objects, { from: 'outside', to: end(part), port }), part)
  }
  for (const pod of podsOf(objects)) {
    const closed = { from: 'outside' as const, to: { labels: pod.labels }, port: 1 }
    assert.ok(!permitted(objects, closed), `${pod.id} is open`)
  }
  const none = render(infraChart, { values: { networkPolicy: { enabled: false } } })
  assert.deepEqual(
    none.filter((object) => object.kind === 'NetworkPolicy'),
    [],
  )
})
