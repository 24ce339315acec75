// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { destination } from '@open-nemo/runtime/gateway/table.ts'
import { instancesChart, type KubeObject, noHelm, refusal, render } from './helm.ts'

const skip = noHelm
const OPENSHIFT = ['config.openshift.io/v1', 'security.openshift.io/v1', 'route.openshift.io/v1']

/** A path of each kind that the platform serves at one host. */
const ANY_SERVICE = [
  ...['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/classify', '/v1/ranking'],
  ...['/v1/tokenize', '/detokenize', '/tokenizer_info', '/v1/metadata', '/v1/version', '/v1/license'],
  ...['/v1/hf/api/whoami-v2', '/v1/datastore/namespaces', '/v1/files', '/v1/files/x/content'],
  ...['/v1/fine_tuning/jobs', '/v1/customization/jobs', '/v1/evaluation/jobs', '/v2/evaluation/jobs'],
  ...['/v1/guardrail/checks', '/v1/models', '/v1/namespaces/default', '/v1/projects', '/v1/datasets'],
]

test('Route and Ingress are off by default, and send each path to its service', { skip }, () => {
  const kinds = (objects: KubeObject[]) => objects.filter((o) => ['Route', 'Ingress'].includes(o.kind))
  assert.deepEqual(kinds(render(instancesChart, { apiVersions: OPENSHIFT })), [])
  const host = 'nemo.example'
  const [ingress] = kinds(render(instancesChart, { values: { expose: { type: 'ingress', host } } }))
  const paths: { path: string; backend: { service: { name: string } } }[] = ingress?.spec.rules[0].http.paths
  const to = Object.fromEntries(paths.map((p) => [p.path, p.backend.service.name]))
  const services: Record<string, string> = {
    customizer: 'nemocustomizer-sample',
    'data-store': 'nemodatastore-sample',
    inference: 'nimpipeline-sample-llm',
    evaluator: 'nemoevaluator-sample',
    guardrails: 'nemoguardrails-sample',
    'entity-store': 'nemoentitystore-sample',
  }
  for (const path of ANY_SERVICE) {
    const prefix = Object.keys(to)
      .filter((each) => each === '/' || path === each || path.startsWith(`${each}/`))
      .toSorted((a, b) => b.length - a.length)[0]
    const { service } = destination({ host, port: 'platform', method: 'GET', path })
    assert.equal(to[prefix ?? ''], services[service], path)
  }
  const routes = kinds(render(instancesChart, { values: { expose: { type: 'route', host } } }))
  assert.equal(routes.length, paths.length)
  assert.ok(
    routes.every(
      (route) =>
        route.spec.host === host &&
        route.spec.tls.termination === 'edge' &&
        route.spec.port.targetPort === 'api',
    ),
  )
  const timeout = 'haproxy.router.openshift.io/timeout'
  const waits = (annotations: Record<string, string>) =>
    kinds(render(instancesChart, { values: { expose: { type: 'route', host, annotations } } })).map(
      ({ metadata }) => metadata.annotations?.[timeout],
    )
  assert.deepEqual([...new Set(waits({}))], ['10m'])
  assert.deepEqual([...new Set(waits({ [timeout]: '1h' }))], ['1h'])
})

test('a way in without anything behind it is refused; a wildcard host is a host', { skip }, () => {
  const parts = ['nemoCustomizer', 'nemoDatastore', 'nemoEntitystore', 'nemoEvaluator', 'nemoGuardrail']
  const off = [...parts, 'nimCache', 'nimPipeline'].map((part) => [part, { enabled: false }])
  const expose = { type: 'ingress', host: '*.nemo.example' }
  const values = { expose, ...Object.fromEntries(off) }
  assert.match(refusal(instancesChart, { values }) ?? '', /expose\.type is "ingress" but nothing is enabled/)
  const ingress = render(instancesChart, { values: { expose } }).find(({ kind }) => kind === 'Ingress')
  assert.equal(ingress?.spec.rules[0].host, '*.nemo.example')
})
