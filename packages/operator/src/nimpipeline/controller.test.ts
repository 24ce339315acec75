// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubeObject, Plan } from '../framework/types.ts'
import { type FakeWorld, fakeWorld, live, resource } from '../pod-basics/testing.ts'
import { nimPipelineController } from './controller.ts'

const API = 'apps.nvidia.com/v1alpha1'
const image = { repository: 'localhost/open-nemo/services', tag: '0.1.0' }
const LLM = { name: 'nimpipeline-sample-llm', enabled: true, spec: { image, replicas: 1 } }
const pipeline = (services: unknown[]) =>
  resource(API, 'NIMPipeline', { services }, { name: 'nimpipeline-sample' })
const planOf = (it: KubeObject, world: FakeWorld = fakeWorld()) =>
  nimPipelineController.plan(it, world) as Plan
const service = (name: string, owner: KubeObject, status: Record<string, unknown>): KubeObject =>
  live({ apiVersion: API, kind: 'NIMService', metadata: { name, generation: 2 }, spec: {} }, owner, status)

test('golden: a NIMService for each service, with what its dependencies bring', () => {
  const dependencies = [{ name: 'embed', port: 8000, envName: 'EMBED_URL', envValue: 'http://embed:8000' }]
  const spec = { ...LLM.spec, env: [{ name: 'A', value: 'b' }] }
  const [made] = planOf(pipeline([{ ...LLM, spec, dependencies }])).apply
  assert.deepEqual(made?.metadata.name, 'nimpipeline-sample-llm')
  assert.deepEqual(made?.spec, {
    image,
    replicas: 1,
    inferencePlatform: 'standalone',
    env: [
      { name: 'A', value: 'b' },
      { name: 'EMBED_URL', value: 'http://embed:8000' },
    ],
  })
})

test('a pipeline without a spec makes nothing and is no error', () => {
  const { spec: _, ...empty } = resource(API, 'NIMPipeline', {}, { name: 'nimpipeline-sample' })
  const it = empty as KubeObject
  assert.deepEqual(nimPipelineController.references?.(it), [])
  const plan = planOf(it)
  assert.deepEqual(plan.apply, [])
  assert.notEqual(plan.status.state, 'Failed')
})

test('every edit of a service propagates, of fields that are not known too', () => {
  for (const change of [
    { image: { ...image, tag: '2' } },
    { tolerations: [{ key: 'g5-small-gpu', operator: 'Exists' }] },
    { replicas: 2 },
    { storage: { nimCache: { name: 'c' } } },
    { somethingNew: { a: 1 } },
  ]) {
    const [made] = planOf(pipeline([{ ...LLM, spec: { ...LLM.spec, ...change } }])).apply
    assert.deepEqual({ ...(made?.spec as object), ...change }, made?.spec)
  }
})

test('services that are removed or switched off go; those of others stay', () => {
  const it = pipeline([{ ...LLM, enabled: false }])
  const world = fakeWorld([
    service('nimpipeline-sample-llm', it, {}),
    service('gone', it, {}),
    service('other', pipeline([]), {}),
  ])
  for (const each of world.objects.slice(2)) each.metadata.ownerReferences = []
  const plan = planOf(it, world)
  assert.deepEqual(
    plan.remove?.map((each) => each.name),
    ['nimpipeline-sample-llm', 'gone'],
  )
  assert.equal(plan.apply.length, 0)
  assert.equal(plan.status.state, 'Ready')
})

test('its state is that of its services, and a state about an older spec does not count', () => {
  const it = pipeline([LLM])
  const state = (status: Record<string, unknown>) =>
    planOf(it, fakeWorld([service(LLM.name, it, status)])).status.state
  assert.equal(state({ state: 'Ready', observedGeneration: 2 }), 'Ready')
  assert.equal(state({ state: 'Ready', observedGeneration: 1 }), 'NotReady')
  assert.equal(state({ state: 'Failed', observedGeneration: 2 }), 'Failed')
  const conditions = [{ type: 'Ready', message: 'NIMCache c is Pending' }]
  const waiting = planOf(
    it,
    fakeWorld([service(LLM.name, it, { state: 'NotReady', observedGeneration: 2, conditions })]),
  )
  assert.match(JSON.stringify(waiting.status), /NIMCache c is Pending/)
  assert.deepEqual(waiting.status.states, { [LLM.name]: 'NotReady' })
})

test('an empty pipeline is ready, and one name twice is refused', () => {
  assert.equal(planOf(resource(API, 'NIMPipeline', {})).status.state, 'Ready')
  assert.match(
    JSON.stringify(planOf(pipeline([LLM, LLM])).status),
    /two services named nimpipeline-sample-llm/,
  )
})
