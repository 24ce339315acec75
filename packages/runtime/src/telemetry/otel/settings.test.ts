// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { traceSettings } from './settings.ts'

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317' }

test('nothing asked, disabled or none: no traces', () => {
  assert.equal(traceSettings({}), undefined)
  assert.equal(traceSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }), undefined)
  assert.equal(traceSettings({ ...ENDPOINT, OTEL_SDK_DISABLED: 'true' }), undefined)
  assert.equal(traceSettings({ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }), undefined)
})

test('an empty exporter means otlp, to the place where collectors listen', () => {
  const found = traceSettings({ OTEL_TRACES_EXPORTER: '' })
  assert.deepEqual(found?.exporters, ['otlp'])
  assert.equal(found?.url, 'http://localhost:4318/v1/traces')
})

test('port 4317 is gRPC unless a protocol is named; the endpoint of traces is taken as it is', () => {
  const settings = (more: Record<string, string>) => {
    const { protocol, url } = traceSettings({ ...ENDPOINT, ...more }) ?? {}
    return { protocol, url }
  }
  assert.deepEqual(settings({}), { protocol: 'grpc', url: 'http://collector:4317' })
  assert.deepEqual(settings({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }), {
    protocol: 'http/protobuf',
    url: 'http://collector:4317/v1/traces',
  })
  assert.deepEqual(settings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/base/' }), {
    protocol: 'http/protobuf',
    url: 'http://collector:4318/base/v1/traces',
  })
  assert.deepEqual(settings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://other:4318/here' }), {
    protocol: 'http/protobuf',
    url: 'http://other:4318/here',
  })
})

test('resource attributes and left-out paths', () => {
  const found = traceSettings({
    ...ENDPOINT,
    OTEL_RESOURCE_ATTRIBUTES: 'a=1,b=x%20y,,broken',
    OTEL_PYTHON_EXCLUDED_URLS: 'health, ready$',
  })
  assert.deepEqual(found?.resource, { a: '1', b: 'x y' })
  assert.deepEqual(
    ['/v1/health/live', '/x/ready', '/v1/models'].map((path) =>
      found?.excluded.some((one) => one.test(path)),
    ),
    [true, true, false],
  )
})

test('what is not understood ends the start and is named', () => {
  const bad = (more: Record<string, string>) => () => traceSettings({ ...ENDPOINT, ...more })
  assert.throws(bad({ OTEL_TRACES_EXPORTER: 'zipkin' }), /OTEL_TRACES_EXPORTER: zipkin/)
  assert.throws(bad({ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector' }), /OTEL_EXPORTER_OTLP_ENDPOINT/)
  assert.throws(bad({ OTEL_PYTHON_EXCLUDED_URLS: '(' }), /OTEL_PYTHON_EXCLUDED_URLS/)
})
