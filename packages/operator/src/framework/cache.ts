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
  readonly #byLabel = new Map<string, Map<string, Set<KubeObject>>>()
  /** Told of every change, whether by watch, by list or by our own write. */
  onChange: (change: Change) => void = () => undefined

  get(namespace: string, name: string): KubeObject | undefined {
    return this.#byNamespace.get(namespace)?.get(name)
  }

  list(namespace: string, selector: Record<string, string> = {}): KubeObject[] {
    const [first, ...others] = Object.entries(selector)
    if (!first) return [...(this.#byNamespace.get(namespace)?.values() ?? [])]
    const found = this.#indexOf(first[0]).get(first[1]) ?? []
    return [...found].filter(
      (o) =>
        (o.metadata.namespace ?? '') === namespace && others.every(([k, v]) => o.metadata.labels?.[k] === v),
    )
  }

  /** Objects by the value of a label; made when the label is first asked for, and kept from then on. */
  #indexOf(label: string): Map<string, Set<KubeObject>> {
    const known = this.#byLabel.get(label)
    if (known) return known
    const index = new Map<string, Set<KubeObject>>()
    this.#byLabel.set(label, index)
    for (const object of this.all()) enter(index, label, object)
    return index
  }

  #reindex(previous: KubeObject | undefined, next: KubeObject | undefined): void {
    for (const [label, index] of this.#byLabel) {
      if (previous) index.get(previous.metadata.labels?.[label] ?? '')?.delete(previous)
      if (next) enter(index, label, next)
    }
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
    this.#reindex(previous, kept)
    if (!own) this.onChange({ object: kept, previous, deleted: false })
  }

  /** Forgets an object, unless the one known is another of the same name or newer than the deletion. */
  remove(object: KubeObject): void {
    const objects = this.#byNamespace.get(object.metadata.namespace ?? '')
    const known = objects?.get(object.metadata.name)
    if (!objects || !known) return
    if (object.metadata.uid && known.metadata.uid !== object.metadata.uid) return
    objects.delete(object.metadata.name)
    this.#reindex(known, undefined)
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

function enter(index: Map<string, Set<KubeObject>>, label: string, object: KubeObject): void {
  const value = object.metadata.labels?.[label]
  if (value === undefined) return
  const objects = index.get(value)
  if (objects) objects.add(object)
  else index.set(value, new Set([object]))
}

function isNewer(a: KubeObject, b: KubeObject): boolean {
  const [x, y] = [a.metadata.resourceVersion ?? '', b.metadata.resourceVersion ?? '']
  // Versions are numbers that grow; of two unequal lengths the longer is the larger.
  return x.length === y.length ? x > y : x.length > y.length
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/**
 * The object without what takes the most memory and is never read. A Job's pods cannot be changed once it is there,
 * so that their template need not be kept to be compared.
 */
export function slim(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & {
    managedFields?: unknown
  }
  if (metadata.annotations?.[LAST_APPLIED]) {
    const { [LAST_APPLIED]: __, ...annotations } = metadata.annotations
    metadata.annotations = annotations
  }
  const { apiVersion, kind, status } = object
  if (kind === 'Job' && apiVersion === 'batch/v1') {
    const { template: _template, ...spec } = (object.spec ?? {}) as Record<string, unknown>
    return { ...object, metadata, spec }
  }
  // Of a pod only where and how it runs matters, and of an Event what it says.
  if (kind === 'Pod') return { apiVersion, kind, metadata, spec: nodeOf(object), status }
  if (kind === 'Event') {
    const about = object.involvedObject as { kind?: string; name?: string } | undefined
    const labels = { ...metadata.labels, [ABOUT_LABEL]: aboutValue(about?.kind, about?.name) }
    return { ...pick(object, EVENT_FIELDS), apiVersion, kind, metadata: { ...metadata, labels } }
  }
  return { ...object, metadata }
}

/** Given to Events in the cache, so that those about one object are found without looking at all. */
export const ABOUT_LABEL = 'open-nemo.io/about'
export const aboutValue = (kind: string | undefined, name: string | undefined) => `${kind}/${name}`

const EVENT_FIELDS = ['involvedObject', 'type', 'reason', 'message', 'lastTimestamp', 'eventTime']

const nodeOf = ({ spec }: KubeObject) => ({ nodeName: (spec as { nodeName?: string } | undefined)?.nodeName })

const pick = (object: KubeObject, fields: string[]) =>
  Object.fromEntries(fields.flatMap((field) => (field in object ? [[field, object[field]]] : [])))
