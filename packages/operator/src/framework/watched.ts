// SPDX-License-Identifier: Apache-2.0
import type { Watched } from './caches.ts'
import { kindKey } from './resources.ts'
import type { Controller } from './types.ts'

/** Helm's releases are Secrets of up to a megabyte each; tokens and pull logins never matter to a plan either. */
const SECRETS =
  'type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=kubernetes.io/dockercfg'
const CONFIG_MAPS = 'metadata.name!=kube-root-ca.crt,metadata.name!=openshift-service-ca.crt'

/** What went well is never asked for, and is most of them. */
const EVENTS = 'type=Warning'

const SELECTORS: Record<string, string> = { Secret: SECRETS, ConfigMap: CONFIG_MAPS, Event: EVENTS }

/** All kinds that some controllers watch: their own, those they own, and the Secrets and ConfigMaps they name. */
export function watchedKinds(controllers: Controller[]): Watched[] {
  const found = new Map<string, Watched>()
  const add = (kind: Watched) => {
    const key = kindKey(kind.apiVersion, kind.kind)
    const known = found.get(key)
    if (!known) return found.set(key, kind)
    // Two want the same kind: what either wants has to be there.
    return found.set(key, {
      ...known,
      optional: known.optional && kind.optional,
      labelSelector: known.labelSelector === kind.labelSelector ? kind.labelSelector : undefined,
      fieldSelector: known.fieldSelector === kind.fieldSelector ? kind.fieldSelector : undefined,
    })
  }
  for (const { apiVersion, kind } of controllers) add({ apiVersion, kind, optional: false })
  for (const controller of controllers)
    for (const owned of controller.owns) {
      const fieldSelector = owned.fieldSelector ?? SELECTORS[owned.kind]
      add({ ...owned, optional: owned.optional ?? false, fieldSelector })
    }
  return [...found.values()]
}
