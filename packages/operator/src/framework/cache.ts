// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from './types.ts'

export interface Change {
  object: KubeObject
  previous: KubeObject | undefined
  deleted: boolean
}

/** What is known of the objects of one kind. Answers to our own writes enter it too, so reads see them at once. */
export class Store {
  readonly #byNamespace = new Map<string, Map<string, KubeObject>>()
  /** Told of every change, whether by watch, by list or by our own write. */
  onChange: (change: Change) => void = () => undefined

  get(namespace: string, name: string): KubeObject | undefined {
    return this.#byNamespace.get(namespace)?.get(name)
  }

  list(namespace: string, selector?: Record<string, string>): KubeObject[] {
    const all = [...(this.#byNamespace.get(namespace)?.values() ?? [])]
    if (!selector) return all
    const wanted = Object.entries(selector)
    return all.filter((o) => wanted.every(([k, v]) => o.metadata.labels?.[k] === v))
  }

  *all(): Generator<KubeObject> {
    for (const objects of this.#byNamespace.values()) yield* objects.values()
  }

  /** Takes an object unless a newer version is known; `own` keeps quiet about a write of ours. */
  upsert(object: KubeObject, own = false): void {
    const namespace = object.metadata.namespace ?? ''
    let objects = this.#byNamespace.get(namespace)
    if (!objects) {
      objects = new Map()
      this.#byNamespace.set(namespace, objects)
    }
    const previous = objects.get(object.metadata.name)
    if (previous && previous.metadata.uid === object.metadata.uid && !isNewer(object, previous)) return
    const kept = slim(object)
    objects.set(object.metadata.name, kept)
    if (!own) this.onChange({ object: kept, previous, deleted: false })
  }

  /** Forgets an object, unless the one known is another of the same name or newer than the deletion. */
  remove(object: KubeObject): void {
    const objects = this.#byNamespace.get(object.metadata.namespace ?? '')
    const known = objects?.get(object.metadata.name)
    if (!objects || !known) return
    if (object.metadata.uid && known.metadata.uid !== object.metadata.uid) return
    objects.delete(object.metadata.name)
    this.onChange({ object: known, previous: known, deleted: true })
  }

  /** Makes the store hold exactly these objects of a namespace ('' is all of them), as a list gives them. */
  replace(namespace: string, objects: KubeObject[]): void {
    const present = new Set(objects.map((o) => `${o.metadata.namespace ?? ''}/${o.metadata.name}`))
    for (const [space, known] of this.#byNamespace) {
      if (namespace && space !== namespace) continue
      for (const object of [...known.values()])
        if (!present.has(`${space}/${object.metadata.name}`)) this.remove(object)
    }
    for (const object of objects) this.upsert(object)
  }
}

function isNewer(a: KubeObject, b: KubeObject): boolean {
  const [x, y] = [a.metadata.resourceVersion ?? '', b.metadata.resourceVersion ?? '']
  // Versions are numbers that grow; of two unequal lengths the longer is the larger.
  return x.length === y.length ? x > y : x.length > y.length
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** Without what takes the most memory and is never read. */
function slim(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & {
    managedFields?: unknown
  }
  if (metadata.annotations?.[LAST_APPLIED]) {
    const { [LAST_APPLIED]: __, ...annotations } = metadata.annotations
    metadata.annotations = annotations
  }
  return { ...object, metadata }
}
