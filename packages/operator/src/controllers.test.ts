// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONTROLLERS } from './controllers.ts'
import { watchedKinds } from './framework/watched.ts'
import { SAMPLES } from './nemo-service/samples.ts'
import { resource } from './pod-basics/testing.ts'

const image = { repository: 'localhost/open-nemo/services', tag: '0.1.0', pullSecrets: ['pull'] }
const env = [
  { name: 'A', valueFrom: { secretKeyRef: { name: 'secret', key: 'k' } } },
  { name: 'B', valueFrom: { configMapKeyRef: { name: 'map', key: 'k' } } },
]
const storage = { nimCache: { name: 'cache' } }
const source = { hf: { endpoint: 'http://hub', modelName: 'm', authSecret: 'hf' } }
const SPECS: Record<string, Record<string, unknown>> = {
  ...Object.fromEntries(SAMPLES.map(({ kind, full }) => [kind, { ...full, env }])),
  NIMCache: { source, storage: { pvc: { create: true } } },
  NIMService: { image, env, storage, authSecret: 'key' },
  NIMPipeline: { services: [{ name: 'nim', spec: { image } }] },
  NemoTrainingJob: { jobId: 'j', callbackURL: 'http://c', imagePullSecrets: [{ name: 'pull' }] },
}

test('whatever a resource names is watched, so that a change of it is heard of', async () => {
  for (const loads of Object.values(CONTROLLERS)) {
    const controllers = await Promise.all(loads.map((load) => load()))
    const watched = new Set(watchedKinds(controllers).map(({ apiVersion, kind }) => `${apiVersion} ${kind}`))
    for (const controller of controllers) {
      const references = controller.references(
        resource(controller.apiVersion, controller.kind, SPECS[controller.kind] ?? {}),
      )
      assert.ok(references.length > 0, controller.kind)
      for (const { apiVersion, kind, name } of references)
        assert.ok(watched.has(`${apiVersion} ${kind}`), `${controller.kind} names ${kind} ${name}`)
    }
  }
})
