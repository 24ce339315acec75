// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { parse } from 'yaml'
import { infraChart, instancesChart, noHelm, refusal, render } from './helm.ts'

const skip = noHelm

/** Maps that take what the chart cannot know: settings of PostgreSQL, and fields of a resource or of training. */
const OPEN = /^(postgresql\.parameters|nemoCustomizer\.trainingConfig|\w+\.spec)$/

/** Paths of all maps in some values, the values themselves first. */
function maps(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return [path, ...Object.entries(value).flatMap(([key, inner]) => maps(inner, [...path, key]))]
}

for (const chart of [infraChart, instancesChart]) {
  test(`${chart.split('/').at(-1)}: a misspelt key is refused by its name in every map`, { skip }, () => {
    const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8'))
    // All maps at once, since Helm names every fault.
    const closed = maps(values).filter((path) => !OPEN.test(path.join('.')))
    const given: Record<string, unknown> = {}
    for (const path of closed) {
      let place = given
      for (const key of path) {
        place[key] ??= {}
        place = place[key] as Record<string, unknown>
      }
      place.tyypo = 1
    }
    const said = refusal(chart, { values: given }) ?? ''
    for (const path of closed) {
      const at = path.map((key) => `/${key}`).join('')
      // A map of texts takes any key, but no number.
      const named = [`'${at}': additional properties 'tyypo' not allowed`, `'${at}/tyypo': got number`]
      assert.ok(
        named.some((words) => said.includes(words)),
        `${at} of ${said}`,
      )
    }
  })
}

test('values of a wrong form are refused where they are', { skip }, () => {
  const refused: [string, object, RegExp][] = [
    [
      infraChart,
      { mlflow: { resources: { limits: { memory: '1GB' } } } },
      /mlflow\/resources\/limits\/memory/,
    ],
    [infraChart, { minio: { storage: { size: 'ten' } } }, /minio\/storage\/size/],
    [infraChart, { minio: { image: { digest: 'abc' } } }, /minio\/image\/digest/],
    [infraChart, { global: { imageRegistry: 'https://registry.example' } }, /global\/imageRegistry/],
    [infraChart, { networkPolicy: { apiServerPorts: [70_000] } }, /apiServerPorts/],
    [infraChart, { postgresql: { parameters: { 'a b': 1 } } }, /'a b'/],
    [infraChart, { argo: { tag: '' } }, /quay\.io\/argoproj\/\S+ has neither a tag nor a digest/],
    [instancesChart, { images: { services: { tag: '' } } }, /services has neither a tag nor a digest/],
    [instancesChart, { expose: { host: 'https://nemo.example' } }, /expose\/host/],
    [instancesChart, { nemoCustomizer: { name: 'My_Customizer' } }, /nemoCustomizer\/name/],
    [instancesChart, { nimCache: { model: 'smollm2' } }, /nimCache\/model/],
    [instancesChart, { nimCache: { storageSize: '5 Gi' } }, /nimCache\/storageSize/],
    [instancesChart, { infra: { releaseName: '' } }, /infra\/releaseName/],
    [
      instancesChart,
      { nemoDatastore: { image: { repository: 'nvcr.io/nvidia/nemo-microservices/datastore' } } },
      /nvcr\.io\/nvidia\/\S+ needs a tag/,
    ],
  ]
  for (const [chart, values, message] of refused) assert.match(refusal(chart, { values }) ?? 'taken', message)
  const resources = { limits: { 'nvidia.com/gpu': 1, memory: '1.5Gi', cpu: 0.5 } }
  const global = { imageRegistry: 'registry.example:5000/mirror/nemo' }
  assert.equal(refusal(infraChart, { values: { jupyter: { resources }, global } }), undefined)
})

test('the tag of a service is taken beside the image that all have', { skip }, () => {
  const values = { nemoDatastore: { image: { tag: '0.2.0' } } }
  const store = render(instancesChart, { values }).find(({ kind }) => kind === 'NemoDatastore')
  assert.deepEqual(store?.spec.image, {
    repository: 'localhost/open-nemo/services',
    tag: '0.2.0',
    pullPolicy: 'IfNotPresent',
  })
})

test('names of digits stay texts', { skip }, () => {
  const mlflow = { s3: { bucket: '123' } }
  const values = { mlflow, global: { imagePullSecrets: ['1e3'], storageClass: '7' } }
  const options = { release: '1e5', namespace: '123' }
  const objects = render(infraChart, { ...options, values })
  for (const object of [
    ...objects,
    ...render(instancesChart, { ...options, values: { namespace: { name: 123 } } }),
  ]) {
    const { kind, metadata, subjects = [] } = object
    for (const { namespace } of [metadata, ...subjects])
      if (namespace !== undefined) assert.equal(namespace, '123', `${kind} ${metadata.name}`)
    for (const label of Object.values(metadata.labels ?? {})) assert.equal(typeof label, 'string')
  }
  const { spec } =
    objects.find((o) => o.metadata.name.endsWith('mlflow-tracking') && o.kind === 'Deployment')?.spec
      .template ?? {}
  const bucket = spec.containers[0].env.find(({ name }: { name: string }) => name === 'S3_BUCKET')
  assert.deepEqual([bucket.value, spec.imagePullSecrets], ['123', [{ name: '1e3' }]])
  const instances = render(instancesChart, { values: { volcanoQueue: '12' } })
  const defaults = instances.find(({ metadata }) => metadata.name === 'nemo-samples-operator-defaults')
  assert.equal(operatorDefaults.parse(parse(defaults?.data['defaults.yaml'])).volcanoQueue, '12')
  const claim = objects.find(({ kind }) => kind === 'PersistentVolumeClaim')
  assert.equal(claim?.spec.storageClassName, '7')
})
