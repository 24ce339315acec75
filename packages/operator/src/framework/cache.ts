// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from './types.ts'

export interface Change {
  object: KubeObject
  previous: KubeObject | undefined
  deleted: boolean
}

/** An object as text without its version: a sixth of the memory of the object, and quickly compared. */
interface Entry {
  uid: string
  version: string
  text: string
}

/** What is known of the objects of one kind. Answers to our own writes enter it too, so reads see them at once. */
export class Store {
  readonly #byNamespace = new Map<string, Map<string, Entry>>()
  readonly #byLabel = new Map<string, Map<string, Set<Entry>>>()
  /** Told of every change, whether by watch, by list or by our own write. */
  onChange: (change: Change) => void = () => undefined

  get(namespace: string, name: string): KubeObject | undefined {
    const entry = this.#byNamespace.get(namespace)?.get(name)
    return entry && read(entry)
  }

  list(namespace: string, selector: Record<string, string> = {}): KubeObject[] {
    const [first, ...others] = Object.entries(selector)
    if (!first) return [...(this.#byNamespace.get(namespace)?.values() ?? [])].map(read)
    const found = this.#indexOf(first[0]).get(first[1]) ?? []
    return [...found]
      .map(read)
      .filter(
        (o) =>
          (o.metadata.namespace ?? '') === namespace &&
          others.every(([k, v]) => o.metadata.labels?.[k] === v),
      )
  }

  /** Objects by the value of a label; made when the label is first asked for, and kept from then on. */
  #indexOf(label: string): Map<string, Set<Entry>> {
    const known = this.#byLabel.get(label)
    if (known) return known
    const index = new Map<string, Set<Entry>>()
    this.#byLabel.set(label, index)
    for (const entries of this.#byNamespace.values())
      for (const entry of entries.values()) enter(index, read(entry).metadata.labels?.[label], entry)
    return index
  }

  #reindex(entry: Entry, before: KubeObject | undefined, after: KubeObject | undefined): void {
    for (const [label, index] of this.#byLabel) {
      const [old, value] = [before?.metadata.labels?.[label], after?.metadata.labels?.[label]]
      if (old === value) continue
      const others = old === undefined ? undefined : index.get(old)
      others?.delete(entry)
      if (old !== undefined && others?.size === 0) index.delete(old)
      enter(index, value, entry)
    }
  }

  *all(): Generator<KubeObject> {
    for (const entries of this.#byNamespace.values()) for (const entry of entries.values()) yield read(entry)
  }

  /** Takes an object unless a newer version is known; `own` keeps quiet about a write of ours. */
  upsert(object: KubeObject, own = false): void {
    const namespace = object.metadata.namespace ?? ''
    let entries = this.#byNamespace.get(namespace)
    if (!entries) {
      entries = new Map()
      this.#byNamespace.set(namespace, entries)
    }
    const known = entries.get(object.metadata.name)
    const { uid = '', resourceVersion: version = '' } = object.metadata
    if (known?.uid === uid && !isNewer(version, known.version)) return
    const kept = slim(object)
    const text = write(kept)
    const previous = known && read(known)
    const isSame = known?.uid === uid && known.text === text
    const entry = known ?? { uid, version, text }
    Object.assign(entry, { uid, version, text })
    entries.set(object.metadata.name, entry)
    // What changed is nothing that anybody reads.
    if (isSame) return
    this.#reindex(entry, previous, kept)
    if (!own) this.onChange({ object: kept, previous, deleted: false })
  }

  /** Forgets an object, unless the one known is another of the same name or newer than the deletion. */
  remove(object: KubeObject): void {
    const entries = this.#byNamespace.get(object.metadata.namespace ?? '')
    const known = entries?.get(object.metadata.name)
    if (!entries || !known) return
    if (object.metadata.uid && known.uid !== object.metadata.uid) return
    entries.delete(object.metadata.name)
    const previous = read(known)
    this.#reindex(known, previous, undefined)
    this.onChange({ object: previous, previous, deleted: true })
  }

  /**
   * Forgets the objects of a namespace ('' is all of them) whose `keyOf` is not present, as a list of version `asOf`
   * says; what is newer than that, such as an object that was just made here, it cannot know of.
   */
  retain(namespace: string, present: ReadonlySet<string>, asOf = ''): void {
    for (const [space, entries] of this.#byNamespace) {
      if (namespace && space !== namespace) continue
      for (const entry of [...entries.values()]) {
        if (asOf && isNewer(entry.version, asOf)) continue
        const object = read(entry)
        if (!present.has(keyOf(object))) this.remove(object)
      }
    }
  }
}

/** What tells an object from all others of its kind. */
export const keyOf = ({ metadata }: KubeObject) => `${metadata.namespace ?? ''}/${metadata.name}`

function enter(index: Map<string, Set<Entry>>, value: string | undefined, entry: Entry): void {
  if (value === undefined) return
  const entries = index.get(value)
  if (entries) entries.add(entry)
  else index.set(value, new Set([entry]))
}

function write(object: KubeObject): string {
  const { resourceVersion: _, ...metadata } = object.metadata
  return JSON.stringify({ ...object, metadata })
}

function read({ text, version }: Entry): KubeObject {
  const object: KubeObject = JSON.parse(text)
  if (version) object.metadata.resourceVersion = version
  return object
}

function isNewer(a: string, b: string): boolean {
  // Versions are numbers that grow; of two unequal lengths the longer is the larger.
  return a.length === b.length ? a > b : a.length > b.length
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
  if (kind === 'Pod')
    return {
      apiVersion,
      kind,
      metadata: podMetadata(metadata),
      spec: nodeOf(object),
      status: podState(status),
    }
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

function podMetadata(given: KubeObject['metadata']): KubeObject['metadata'] {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, ...rest } = given
  const { labels, ownerReferences } = rest
  return {
    name,
    namespace,
    uid,
    resourceVersion,
    creationTimestamp,
    deletionTimestamp,
    labels,
    ownerReferences,
  }
}

const POD_STATE = ['phase', 'reason', 'message', 'conditions', 'initContainerStatuses', 'containerStatuses']

const podState = (status: unknown) => status && pick(status as KubeObject, POD_STATE)

const nodeOf = ({ spec }: KubeObject) => ({ nodeName: (spec as { nodeName?: string } | undefined)?.nodeName })

const pick = (object: KubeObject, fields: string[]) =>
  Object.fromEntries(fields.flatMap((field) => (field in object ? [[field, object[field]]] : [])))
