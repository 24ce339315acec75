// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { KubeObject, ObjectRef, World } from '../framework/types.ts'
import type { Fields } from './types.ts'

export const secretRef = (name: string): ObjectRef => ({ apiVersion: 'v1', kind: 'Secret', name })
export const configMapRef = (name: string): ObjectRef => ({ apiVersion: 'v1', kind: 'ConfigMap', name })

/** The Secrets and ConfigMaps that environment variables take values from. */
export function envReferences(env: Fields[] | undefined): ObjectRef[] {
  return (env ?? []).flatMap(({ valueFrom }) => {
    const { secretKeyRef, configMapKeyRef } = (valueFrom ?? {}) as Record<
      string,
      { name?: string } | undefined
    >
    if (secretKeyRef?.name) return [secretRef(secretKeyRef.name)]
    return configMapKeyRef?.name ? [configMapRef(configMapKeyRef.name)] : []
  })
}

/** Objects that the installation's defaults bring into every pod. */
export const defaultReferences = (defaults: OperatorDefaults): ObjectRef[] => [
  secretRef(defaults.internalTokenSecret),
  ...(defaults.customCA.configMap ? [configMapRef(defaults.customCA.configMap)] : []),
]

/** What the objects hold now, so that a change of it changes the pod template. */
export const contents = (world: World, refs: ObjectRef[]): unknown[] =>
  [...new Map(refs.map((r) => [`${r.kind}/${r.name}`, r])).entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, ref]) => {
      const object = world.get(ref)
      return [key, object?.data, object?.binaryData]
    })

/** A value of a Secret as text, or undefined. */
export function secretText(secret: KubeObject | undefined, key: string): string | undefined {
  const value = (secret?.data as Record<string, string> | undefined)?.[key]
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8')
}
