// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { customResourceDefinitions } from '@open-nemo/contract/kubernetes/crds.ts'
import { crdFiles, writtenCrdFiles } from './crds.ts'

type Json = { [key: string]: unknown }

/** Every object of a document with the path to it. */
function* nodes(value: unknown, path = ''): Generator<[string, Json]> {
  if (Array.isArray(value)) for (const [i, v] of value.entries()) yield* nodes(v, `${path}[${i}]`)
  else if (value && typeof value === 'object') {
    yield [path, value as Json]
    for (const [k, v] of Object.entries(value)) yield* nodes(v, `${path}.${k}`)
  }
}

test('the chart holds the CRDs that the contract makes (node packages/operator/src/crds.ts writes them)', async () => {
  assert.deepEqual(Object.fromEntries(await writtenCrdFiles()), Object.fromEntries(crdFiles()))
})

test('schemas are structural, keep what they do not know, and default no user or group', () => {
  for (const crd of customResourceDefinitions()) {
    for (const [path, node] of nodes(crd)) {
      const inSchema = path.includes('openAPIV3Schema')
      if (!inSchema) continue
      for (const word of ['$ref', 'const', 'oneOf', 'anyOf', 'allOf', 'nullable', 'propertyNames'])
        if (!/\.properties$/.test(path)) assert.ok(!(word in node), `${word} at ${path}`)
      assert.ok(!('properties' in node && 'additionalProperties' in node), `both at ${path}`)
      if (/\.(userID|groupID)$/.test(path)) assert.ok(!('default' in node), path)
    }
  }
})

test('names, columns and labels are those that the contract states', () => {
  const shown = customResourceDefinitions().map((crd) => {
    const spec = crd.spec as { group: string; names: { plural: string; singular: string }; versions: Json[] }
    const columns = spec.versions[0]?.additionalPrinterColumns as { name: string }[]
    return `${spec.names.plural} ${spec.names.singular} ${spec.group} ${columns.map((c) => c.name).join(',')}`
  })
  assert.deepEqual(shown, [
    'nemocustomizers nemocustomizer apps.nvidia.com Status,Age,Message',
    'nemodatastores nemodatastore apps.nvidia.com Status,Age,Message',
    'nemoentitystores nemoentitystore apps.nvidia.com Status,Age,Message',
    'nemoevaluators nemoevaluator apps.nvidia.com Status,Age,Message',
    'nemoguardrails nemoguardrail apps.nvidia.com Status,Age,Message',
    'nimcaches nimcache apps.nvidia.com Status,PVC,Age,Message',
    'nimservices nimservice apps.nvidia.com Status,Age,Message',
    'nimpipelines nimpipeline apps.nvidia.com Status,Age,Message',
    'nemotrainingjobs nemotrainingjob nvidia.com Status,Age,Message',
  ])
})
