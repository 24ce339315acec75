// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keepingVolume } from './claims.ts'

const claim = (spec: object) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data' },
  spec,
})
const sized = (storage: string) => ({ resources: { requests: { storage } } })

test('a volume that is there keeps class and access modes, grows, and never shrinks', () => {
  const live = claim({
    accessModes: ['ReadWriteMany'],
    storageClassName: 'old',
    volumeName: 'pv',
    ...sized('10Gi'),
  })
  const plain = claim({ accessModes: ['ReadWriteOnce'], ...sized('5Gi') })
  const kept = { accessModes: ['ReadWriteMany'], storageClassName: 'old', ...sized('10Gi') }
  assert.deepEqual(keepingVolume(plain, live).spec, kept)
  const larger = claim({ accessModes: ['ReadWriteOnce'], storageClassName: 'new', ...sized('20Gi') })
  assert.deepEqual(keepingVolume(larger, live).spec, { ...kept, ...sized('20Gi') })
  assert.equal(keepingVolume(plain, live).metadata, plain.metadata)
})
