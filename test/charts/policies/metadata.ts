// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { podsOf } from '../pods.ts'
import type { Policy } from './types.ts'

const LABELS = ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/part-of']

/** Objects carry the usual labels, so that all of a release can be found; names fit where they are used. */
export const labelled: Policy = ({ objects }) => {
  const problems = objects.flatMap((object) => {
    const id = `${object.kind}/${object.metadata.name}`
    const missing = [...LABELS, 'app.kubernetes.io/managed-by'].filter((l) => !object.metadata.labels?.[l])
    const long = Object.values(object.metadata.labels ?? {}).some((value) => value.length > 63)
    // Pods of a StatefulSet carry its name and a hash as a label; Services are names in DNS.
    const limit = object.kind === 'StatefulSet' ? 52 : object.kind === 'Service' ? 63 : 253
    return [
      ...missing.map((label) => `${id} lacks ${label}`),
      ...(long ? [`${id} has a label of more than 63 characters`] : []),
      ...(object.metadata.name.length > limit ? [`${id} is longer than ${limit}`] : []),
    ]
  })
  const pods = podsOf(objects).flatMap(({ id, labels }) => [
    ...LABELS.filter((label) => !labels[label]).map((label) => `pods of ${id} lack ${label}`),
    // A version in the labels of pods would roll them all at every upgrade.
    ...(labels['helm.sh/chart'] || labels['app.kubernetes.io/version']
      ? [`pods of ${id} carry a version`]
      : []),
  ])
  return [...problems, ...pods]
}

/** Two objects of one kind and name would be one. */
export const unique: Policy = ({ objects }) => {
  const seen = new Set<string>()
  return objects.flatMap(({ kind, metadata: { name, namespace = '' } }) => {
    const id = `${kind}/${namespace}/${name}`
    if (seen.has(id)) return [`${id} is rendered twice`]
    seen.add(id)
    return []
  })
}

/** What makes a rendering differ from the one before, or depend on a cluster. */
const FORBIDDEN =
  /\{\{[^}]*\b(lookup|rand[A-Z]\w+|uuidv4|now|genCA|genSelfSignedCert|genPrivateKey|derivePassword)\b/

/** Templates that a rendering by GitOps could not repeat. */
export function unrepeatable(chart: string): string[] {
  return readdirSync(join(chart, 'templates'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ya?ml|tpl|txt)$/.test(file))
    .filter((file) => FORBIDDEN.test(readFileSync(join(chart, 'templates', file), 'utf8')))
}
