// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLUSTER, resourceOf, SAMPLES, SERVED } from '../nemo-service/samples.ts'
import { fakeWorld } from '../pod-basics/testing.ts'

test('an evaluator that runs its jobs in pods may make them; another holds no token', async () => {
  const sample = SAMPLES.find(({ kind }) => kind === 'NemoEvaluator')
  assert.ok(sample)
  const world = fakeWorld(CLUSTER, { defaults: {}, served: SERVED })
  const planned = async (env: unknown[], more: object = {}) => {
    const plan = await sample.controller.plan(resourceOf(sample, { ...sample.small, env, ...more }), world)
    const role = plan.apply.find(({ kind }) => kind === 'Role') as
      | { rules?: { resources: string[] }[] }
      | undefined
    const deployment = plan.apply.find(({ kind }) => kind === 'Deployment') as
      | { spec: { template: { spec: { automountServiceAccountToken: boolean } } } }
      | undefined
    return {
      resources: role?.rules?.flatMap(({ resources }) => resources),
      token: deployment?.spec.template.spec.automountServiceAccountToken,
    }
  }
  const pods = { name: 'NEMO_EXECUTOR', value: 'kubernetes' }
  const argo = { endpoint: 'http://argo:2746', serviceAccount: '' }
  const none = { name: 'ARGO_HOST', value: '' }
  assert.deepEqual(await planned([pods]), { resources: ['pods', 'jobs'], token: true })
  assert.deepEqual(await planned([pods], { argoWorkflows: { ...argo, serviceAccount: 'wf' } }), {
    resources: ['pods', 'workflows'],
    token: true,
  })
  assert.deepEqual((await planned([pods], { argoWorkflows: argo })).resources, [
    ...['pods', 'workflows', 'workflowtaskresults'],
  ])
  assert.deepEqual((await planned([pods, none], { argoWorkflows: argo })).resources, ['pods', 'jobs'])
  assert.deepEqual(await planned([{ name: 'NEMO_EXECUTOR', value: 'process' }]), {
    resources: undefined,
    token: false,
  })
})
