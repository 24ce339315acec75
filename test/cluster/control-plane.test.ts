// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type ControlPlane, startControlPlane } from '../../packages/cli/src/lab/index.ts'

describe('the control plane', { skip: process.platform === 'linux' ? false : 'needs Linux' }, () => {
  let dir = ''
  let plane: ControlPlane

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-plane-'))
    plane = await startControlPlane({ dir, onProgress: ({ message }) => console.log(message) })
  })
  after(async () => {
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  it('answers as the pinned version and stands on RBAC', async () => {
    assert.match(await plane.kubectl(['version']), /Server Version: v1\.35\.4/)
    await plane.kubectl(['create', 'serviceaccount', 'nobody'])
    const as = ['--as=system:serviceaccount:default:nobody']
    await assert.rejects(plane.kubectl(['get', 'secrets', ...as]), /forbidden/)
  })

  it('runs controllers: a Job gets its pod, and deletion goes through owner references', async () => {
    await plane.kubectl(['create', 'job', 'one', '--image=localhost/none:1', '--', 'true'])
    await plane.kubectl(['wait', '--for=create', 'pod', '-l', 'job-name=one', '--timeout=120s'])
    await plane.kubectl(['delete', 'job', 'one', '--cascade=foreground', '--timeout=120s'])
    assert.equal(await plane.kubectl(['get', 'pods', '-o', 'name']), '')
  })

  it('enforces Pod Security where a namespace asks for it', async () => {
    await plane.kubectl(['create', 'namespace', 'strict'])
    await plane.kubectl(['label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=restricted'])
    const run = ['run', 'x', '-n', 'strict', '--image=localhost/none:1']
    await assert.rejects(plane.kubectl(run), /violates PodSecurity "restricted/)
  })

  it("knows OpenShift's SecurityContextConstraints and checks their fields", async () => {
    const scc = { apiVersion: 'security.openshift.io/v1', kind: 'SecurityContextConstraints' }
    const incomplete = JSON.stringify({ ...scc, metadata: { name: 'x' } })
    await assert.rejects(
      plane.kubectl(['apply', '-f', '-'], incomplete),
      /allowPrivilegedContainer: Required/,
    )
  })

  it('keeps its state over a restart of the API server and of all of it', async () => {
    await plane.kubectl(['create', 'configmap', 'kept'])
    await plane.stopApiServer()
    await assert.rejects(plane.kubectl(['get', 'configmap', 'kept']))
    await plane.startApiServer()
    await plane.kubectl(['get', 'configmap', 'kept'])
    const { server } = plane
    await plane.stop()
    for (const name of ['etcd', 'kube-apiserver', 'kube-controller-manager']) {
      assert.equal(await plane.processes.running(name), undefined)
    }
    plane = await startControlPlane({ dir })
    assert.equal(plane.server, server)
    await plane.kubectl(['get', 'configmap', 'kept'])
  })
})
