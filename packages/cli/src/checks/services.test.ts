// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeKube, object } from '../kube/fake.ts'
import { customResource, PODS } from '../kube/resources.ts'
import { type Call, verifyInstallation } from './services.ts'

const API = 'apps.nvidia.com/v1alpha1'
const resource = (kind: string, name: string, state = 'Ready', message = '') =>
  object(API, kind, name, { status: { state, conditions: [{ type: 'Ready', message }] } })

function installed() {
  const kube = fakeKube()
  kube.put(customResource('NemoEntitystore'), resource('NemoEntitystore', 'nemoentitystore-sample'))
  kube.put(customResource('NIMService'), resource('NIMService', 'llm'))
  const labels = { 'app.kubernetes.io/instance': 'llm' }
  const status = { phase: 'Running', containerStatuses: [{ name: 'c', ready: true }] }
  kube.put(PODS, object('v1', 'Pod', 'llm-1', { metadata: { labels }, status }))
  return kube
}

const answers: Call = async (_service, path, body) => {
  if (path === '/v1/chat/completions') {
    assert.equal((body as { model: string }).model, 'ns/m')
    return { choices: [{}] }
  }
  return { data: [{ id: 'ns/m' }] }
}

const errors = async (kube: ReturnType<typeof installed>, call = answers) =>
  (await verifyInstallation(kube, call)).filter((f) => f.level === 'error').map((f) => f.message)

test('an installation that is Ready and answers is well; kinds that are not there are skipped', async () => {
  const kube = installed()
  assert.deepEqual(await errors(kube), [])
  const findings = await verifyInstallation(kube, answers)
  assert.ok(findings.some((f) => f.level === 'skipped' && f.message === 'no NemoEvaluator in nemo'))
  assert.ok(findings.some((f) => f.message === 'llm answers as ns/m (1 models)'))
})

test('a resource that is not Ready says why, a pod what it waits for', async () => {
  const kube = installed()
  kube.put(
    customResource('NemoEvaluator'),
    resource('NemoEvaluator', 'e', 'NotReady', 'Secret x is missing'),
    object(API, 'NemoEvaluator', 'new'),
  )
  const labels = { 'app.kubernetes.io/part-of': 'nemo-instances' }
  const waiting = { reason: 'ImagePullBackOff' }
  const status = { phase: 'Pending', containerStatuses: [{ name: 'c', state: { waiting } }] }
  kube.put(PODS, object('v1', 'Pod', 'op', { metadata: { labels }, status }))
  assert.deepEqual(await errors(kube), [
    'NemoEvaluator e is NotReady: Secret x is missing',
    'NemoEvaluator new is not looked at: no operator has said anything of it',
    'pod op 0/1 Pending: ImagePullBackOff',
  ])
})

test('a service that does not answer, or answers something else, is not well', async () => {
  const down: Call = async () => {
    throw new Error('no endpoints available for service')
  }
  const found = await errors(installed(), down)
  assert.match(found.join(), /GET nemoentitystore-sample\/v1\/models: no endpoints.*llm: no endpoints/)
  assert.match(
    (await errors(installed(), async () => ({}))).join(),
    /answered something else.*serves no model/,
  )
  assert.match((await errors(fakeKube())).join(), /no pod of ours runs in nemo/)
})
