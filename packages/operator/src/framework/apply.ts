// SPDX-License-Identifier: Apache-2.0
import { type Store, slim } from './cache.ts'
import { keepingVolume } from './claims.ts'
import { isStatus, type KubeClient } from './client.ts'
import { contains, contentHash } from './compare.ts'
import { type Resource, resourcePath } from './resources.ts'
import type { KubeObject, ObjectMeta } from './types.ts'

/** On every object that is applied: the hash of what was asked for. A field that is no longer wanted changes it. */
export const HASH_ANNOTATION = 'open-nemo.io/applied-hash'
const MANAGED_BY = 'app.kubernetes.io/managed-by'
const NVIDIA_OPERATOR = 'k8s-nim-operator'
/** No object has this version: an apply that carries it makes an object, and never changes one that is there. */
const NEW_ONLY = '1'

/** An object cannot be made as planned until somebody changes something. */
export class ApplyRefused extends Error {
  readonly object: KubeObject
  readonly reason: string

  constructor(object: KubeObject, reason: string, message: string) {
    super(message)
    this.name = 'ApplyRefused'
    this.object = object
    this.reason = reason
  }
}

/** Writes objects by server-side apply, and only where the cluster differs from what is wanted. */
export class Applier {
  readonly #client: KubeClient
  readonly #fieldManager: string
  /** Per object: what was asked for, and what the server made of it, which includes its defaults. */
  readonly #made = new Map<string, { desired: string; live: string; seen: string }>()

  constructor(client: KubeClient, fieldManager: string) {
    this.#client = client
    this.#fieldManager = fieldManager
  }

  /** Makes the object exist as wanted. Returns whether anything had to be written. Throws ApplyRefused, KubeError. */
  async apply(wanted: KubeObject, owner: KubeObject, resource: Resource, store: Store): Promise<boolean> {
    let desired = prepared(wanted, owner)
    const namespace = desired.metadata.namespace ?? ''
    const key = `${desired.apiVersion}/${desired.kind}/${namespace}/${desired.metadata.name}`
    const hash = desired.metadata.annotations?.[HASH_ANNOTATION] ?? ''
    const known = store.get(namespace, desired.metadata.name)
    const before = this.#made.get(key)
    if (known && before?.desired === hash && before.seen === seen(known)) return false
    // The cache may lag behind: whether the name is free, only the server can say.
    const made = known ? undefined : await this.#write(desired, resource, NEW_ONLY)
    const live = made ? undefined : (known ?? (await this.#read(desired, resource)))
    // A claim that somebody else made is used as it is.
    if (live?.kind === 'PersistentVolumeClaim' && !live.metadata.annotations?.[HASH_ANNOTATION]) return false
    if (live?.kind === 'PersistentVolumeClaim') desired = keepingVolume(desired, live)
    if (live) {
      await this.#mayTakeOver(live, desired, owner, resource)
      if (this.#isAsMade(slim(live), desired, key)) {
        this.#made.set(key, { desired: hash, live: liveHash(slim(live)), seen: seen(live) })
        return false
      }
    }
    const answer = made ?? (await this.#write(desired, resource))
    if (!answer) return false
    store.upsert(answer, true)
    this.#made.set(key, { desired: hash, live: liveHash(slim(answer)), seen: seen(answer) })
    return true
  }

  /** Whether a live object, as far as the cache keeps it, is what was asked for and what the server made of that. */
  #isAsMade(live: KubeObject, desired: KubeObject, key: string): boolean {
    if (contains(live, slim(desired))) return true
    const made = this.#made.get(key)
    return made?.desired === desired.metadata.annotations?.[HASH_ANNOTATION] && made?.live === liveHash(live)
  }

  /** Applies an object; with a version only if the live one has it, else nothing is written and undefined given. */
  async #write(
    desired: KubeObject,
    resource: Resource,
    resourceVersion?: string,
  ): Promise<KubeObject | undefined> {
    const { apiVersion, kind, metadata } = desired
    try {
      const answer: KubeObject = await this.#client.request({
        method: 'PATCH',
        path: resourcePath(resource, metadata.namespace, metadata.name),
        query: { fieldManager: this.#fieldManager, force: true },
        contentType: 'application/apply-patch+yaml',
        body: resourceVersion ? { ...desired, metadata: { ...metadata, resourceVersion } } : desired,
      })
      return { ...answer, apiVersion, kind }
    } catch (err) {
      if (resourceVersion && isStatus(err, 409)) return undefined
      throw refusal(desired, err)
    }
  }

  /** Deletes an object of the owner's, or the owner itself; one that is not there, or another's, is left alone. */
  async remove(
    object: KubeObject | undefined,
    owner: KubeObject,
    resource: Resource,
    store: Store,
  ): Promise<boolean> {
    const isOwn = object && (isOwnedBy(object, owner) || object.metadata.uid === owner.metadata.uid)
    if (!isOwn || object.metadata.deletionTimestamp) return false
    const { name, namespace, uid } = object.metadata
    await this.#delete(resource, object, uid)
    this.#made.delete(`${object.apiVersion}/${object.kind}/${namespace ?? ''}/${name}`)
    store.remove(object)
    return true
  }

  async #read(
    { apiVersion, kind, metadata }: KubeObject,
    resource: Resource,
  ): Promise<KubeObject | undefined> {
    const path = resourcePath(resource, metadata.namespace, metadata.name)
    const found = await this.#client.request({ path }).catch((err) => {
      if (isStatus(err, 404)) return undefined
      throw err
    })
    return found && { ...found, apiVersion, kind }
  }

  async #delete(resource: Resource, { metadata }: KubeObject, uid: string | undefined): Promise<void> {
    await this.#client
      .request({
        method: 'DELETE',
        path: resourcePath(resource, metadata.namespace, metadata.name),
        body: { propagationPolicy: 'Background', preconditions: { uid } },
      })
      .catch((err) => {
        if (!isStatus(err, 404, 409)) throw err
      })
  }

  async #mayTakeOver(
    live: KubeObject,
    desired: KubeObject,
    owner: KubeObject,
    resource: Resource,
  ): Promise<void> {
    if (desired.kind === 'PersistentVolumeClaim') return
    const other = live.metadata.ownerReferences?.find((o) => o.controller)
    const what = `${live.kind} ${live.metadata.name}`
    if (other && other.uid !== owner.metadata.uid)
      throw new ApplyRefused(
        desired,
        'NameTaken',
        `${what} belongs to ${other.kind} ${other.name}: rename this ${owner.kind}, or delete the other`,
      )
    if (other && live.metadata.labels?.[MANAGED_BY] === NVIDIA_OPERATOR) {
      // Left by NVIDIA's operator: its fields, some of them immutable, would stay beside ours.
      await this.#delete(resource, live, live.metadata.uid)
      throw new ApplyRefused(desired, 'Replacing', `${what} of NVIDIA's operator is being replaced`)
    }
    if (!other && !live.metadata.annotations?.[HASH_ANNOTATION] && live.kind !== 'ServiceAccount')
      throw new ApplyRefused(
        desired,
        'NameTaken',
        `${what} exists and was not made for this ${owner.kind}: rename the ${owner.kind}, or delete that ${live.kind}`,
      )
  }
}

export const isOwnedBy = (object: KubeObject, owner: KubeObject) =>
  object.metadata.ownerReferences?.some((o) => o.uid === owner.metadata.uid) ?? false

/** The object as it is sent: in the owner's namespace, owned unless it is a claim, and marked with its hash. */
function prepared(wanted: KubeObject, owner: KubeObject): KubeObject {
  const { apiVersion, kind, metadata } = owner
  const owned = wanted.kind !== 'PersistentVolumeClaim'
  const meta: ObjectMeta = {
    ...wanted.metadata,
    namespace: wanted.metadata.namespace ?? metadata.namespace,
    ...(owned
      ? {
          ownerReferences: [
            {
              apiVersion,
              kind,
              name: metadata.name,
              uid: metadata.uid ?? '',
              controller: true,
              blockOwnerDeletion: true,
            },
          ],
        }
      : {}),
  }
  const object: KubeObject = { ...wanted, metadata: meta }
  const annotations = { ...object.metadata.annotations, [HASH_ANNOTATION]: contentHash(object) }
  return { ...object, metadata: { ...object.metadata, annotations } }
}

const seen = ({ metadata }: KubeObject) => `${metadata.uid} ${metadata.resourceVersion}`

/** What a drift would show in: all but the status and what changes with every write. */
function liveHash({ status: _, metadata, ...rest }: KubeObject): string {
  const { labels, annotations, ownerReferences } = metadata
  return contentHash({ ...rest, labels, annotations, ownerReferences })
}

function refusal(object: KubeObject, err: unknown): unknown {
  const what = `${object.kind} ${object.metadata.name}`
  if (isStatus(err, 403))
    return new ApplyRefused(
      object,
      'Forbidden',
      `${what} could not be written: ${err.message}. Give the operator's Role that right (the chart's templates/rbac.yaml has all that it needs), or lift the quota or policy`,
    )
  if (isStatus(err, 422, 400))
    return new ApplyRefused(
      object,
      'Invalid',
      `${what} was refused: ${err.message}. Change the field, or delete the ${object.kind} to have it made anew`,
    )
  if (isStatus(err, 404))
    return new ApplyRefused(
      object,
      'NotServed',
      `${what} could not be made: the API server does not serve ${object.apiVersion} ${object.kind}`,
    )
  return err
}
