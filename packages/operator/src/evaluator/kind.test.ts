// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLUSTER, resourceOf, SAMPLES, SERVED } from '../nemo-service/samples.ts'
import { fakeWorld } from '../pod-basics/testing.ts'

test('an evaluator that runs its jobs in pods may make them; another holds no token', async () => {
  const sample = SAMPLES.find(({ kind }) => kind === 'NemoEvaluator')
  assert.ok(sample)
  const world = fakeWorld(CLUSTER, { defaults: {}, served: SERVED })
  const planned = async (env: unknown[]) => {
    const plan = await sample.controller.plan(resourceOf(sample, { ...sample.small, env }), world)
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
  assert.deepEqual(await planned([{ name: 'NEMO_EXECUTOR', value: 'kubernetes' }]), {
    resources: ['pods', 'jobs', 'workflows'],
    token: true,
  })
  assert.deepEqual(await planned([{ name: 'NEMO_EXECUTOR', value: 'process' }]), {
    resources: undefined,
    token: false,
  })
})
