// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { destination, hostRole, type PortRole } from './table.ts'

const cases: [host: string, port: PortRole, method: string, path: string, service: string, seen?: string][] =
  [
    ['localhost', 'platform', 'GET', '/v1/models', 'entity-store'],
    ['localhost', 'inference', 'GET', '/v1/models', 'inference'],
    ['nim.test', 'platform', 'GET', '/v1/models', 'inference'],
    ['nemo.test', 'inference', 'GET', '/v1/models', 'entity-store'],
    ['localhost', 'platform', 'GET', '/nim/v1/models', 'inference', '/v1/models'],
    ['localhost', 'platform', 'POST', '/v1/chat/completions', 'inference'],
    ['localhost', 'inference', 'POST', '/v1/chat/completions', 'inference'],
    ['localhost', 'platform', 'GET', '/v1/hf/api/datasets', 'data-store'],
    ['localhost', 'data-store', 'POST', '/ns/repo.git/info/lfs/objects/batch', 'data-store'],
    ['localhost', 'platform', 'PUT', '/ns/repo.git/info/lfs/objects/abc', 'data-store'],
    ['nemo-customizer.my-ns.svc.cluster.local', 'platform', 'GET', '/v1/customization/jobs', 'customizer'],
    ['nemodatastore-sample.x', 'platform', 'GET', '/v1/health', 'data-store'],
    ['localhost', 'platform', 'POST', '/v1/customizations/cust-1/cancel', 'customizer'],
    ['localhost', 'platform', 'POST', '/v1/evaluation/jobs', 'evaluator'],
    ['localhost', 'platform', 'GET', '/v1/deployment/configs', 'inference'],
    ['nemo-deployment-management', 'platform', 'GET', '/v1/deployment/configs', 'inference'],
    ['localhost', 'platform', 'GET', '/health', 'platform'],
    ['localhost', 'platform', 'GET', '/nimble', 'platform'],
  ]

test('host names go before ports, ports before paths', () => {
  for (const [host, port, method, path, service, seen] of cases) {
    assert.deepEqual(
      destination({ host, port, method, path }),
      { service, path: seen ?? path },
      `${host} ${port} ${method} ${path}`,
    )
  }
})

test('hosts that only look like ours are not', () => {
  for (const host of ['nemo.test.evil.com', 'xnemo.test', 'nemo-customizer.a.b.c', 'example.com']) {
    assert.equal(hostRole(host), undefined, host)
  }
})
