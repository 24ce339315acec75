// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { Applier, ApplyRefused } from './apply.ts'
import type { Change } from './cache.ts'
import { Caches, DISCOVERY_MS } from './caches.ts'
import { isStatus, type KubeClient, KubeError } from './client.ts'
import { CrdOwners, UNPUBLISHED_MS } from './crd-owners.ts'
import { EventRecorder } from './events.ts'
import { type OperatorMetrics, operatorMetrics } from './metrics.ts'
import { createQueue, type WorkQueue } from './queue.ts'
import { WATCH_TIMES, type WatchTimes } from './reflector.ts'
import { kindKey, Resources, resourcePath } from './resources.ts'
import { standAsideReason } from './stand-aside.ts'
import { nextStatus, refusedStatus, saysStoodAside, stoodAsideStatus } from './status.ts'
import type { Controller, KubeObject, ObjectRef, Plan, World } from './types.ts'
import { watchedKinds } from './watched.ts'

/** Changes come in bunches, such as a pod and the Job that counts it: one plan and one status for all of them. */
const BUNCH_MS = 50

export interface OperatorOptions {
  /** Names the field manager `open-nemo-<name>`. */
  name: string
  client: KubeClient
  controllers: Controller[]
  /** Namespaces in scope; [''] for all. */
  namespaces: string[]
  defaults(): OperatorDefaults
  log: Logger
  workers?: number
  times?: WatchTimes
  discoveryMs?: number
}

export interface Operator {
  metrics: OperatorMetrics
  /** Kinds whose caches are not filled yet; empty when ready. */
  missing(): string[]
  /** Begins to reconcile; before, only the caches are kept up. */
  lead(): void
  /** Plans every resource again, as after a change of the defaults. */
  resync(): void
  /** Finishes what is under way and takes up nothing new. */
  stop(): Promise<void>
}

/** Fills the caches and, once it leads, makes the cluster follow the resources. */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const running = new RunningOperator(options)
  await running.start()
  return running
}

class RunningOperator implements Operator {
  readonly metrics: OperatorMetrics
  readonly #options: OperatorOptions
  readonly #controllers: Map<string, Controller>
  readonly #resources: Resources
  readonly #caches: Caches
  readonly #queue: WorkQueue
  readonly #applier: Applier
  readonly #events: EventRecorder
  /** Which resources name an object: kind/namespace/name to the keys of resources. */
  readonly #referrers = new Map<string, Set<string>>()
  readonly #referencesOf = new Map<string, string[]>()
  readonly #crdOwners: CrdOwners
  #leading = false
  #stopped = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: OperatorOptions) {
    const { client, controllers, log } = options
    this.#options = options
    this.#controllers = new Map(controllers.map((c) => [kindKey(c.apiVersion, c.kind), c]))
    this.#resources = new Resources(client)
    this.#applier = new Applier(client, this.#fieldManager)
    this.#events = new EventRecorder(client, this.#fieldManager, log)
    this.#queue = createQueue((key) => this.#work(key), options.workers ?? 8)
    this.#crdOwners = new CrdOwners({
      client,
      versions: controllers.map((c) => c.apiVersion),
      log,
      patienceMs: this.#discoveryMs,
    })
    this.metrics = operatorMetrics({
      depth: () => this.#queue.depth,
      resources: () => this.#allResources(),
    })
    client.onAnswer = this.metrics.answered
    this.#caches = new Caches({
      client,
      resources: this.#resources,
      namespaces: options.namespaces,
      watched: watchedKinds(controllers),
      times: options.times ?? WATCH_TIMES,
      discoveryMs: options.discoveryMs,
      log,
      onChange: (change) => this.#changed(change),
      onRestart: this.metrics.watchRestarted,
      onServed: () => this.resync(),
    })
  }

  get #fieldManager() {
    return `open-nemo-${this.#options.name}`
  }

  async start(): Promise<void> {
    await this.#lookForOurCrds()
    await this.#caches.start()
    const again = () => {
      this.#timer = setTimeout(async () => {
        await this.#lookForOurCrds()
        if (!this.#stopped) again()
      }, this.#discoveryMs)
    }
    again()
  }

  get #discoveryMs() {
    return this.#options.discoveryMs ?? DISCOVERY_MS
  }

  missing = () => this.#caches.missing()

  lead(): void {
    this.#leading = true
    this.metrics.leading(true)
    this.resync()
  }

  resync(): void {
    for (const resource of this.#allResources()) this.#enqueue(keyOf(resource))
  }

  async stop(): Promise<void> {
    this.#leading = false
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#queue.stop()
    this.#caches.stop()
    this.metrics.leading(false)
  }

  *#allResources(): Generator<KubeObject> {
    for (const c of this.#controllers.values()) yield* this.#caches.store(c.apiVersion, c.kind)?.all() ?? []
  }

  #enqueue(key: string): void {
    if (this.#leading) this.#queue.add(key)
  }

  #enqueueSoon(key: string): void {
    if (this.#leading) this.#queue.addAfter(key, BUNCH_MS)
  }

  /** Reads whose CRDs are installed; a change of that plans all anew. */
  async #lookForOurCrds(): Promise<void> {
    if (await this.#crdOwners.look()) this.resync()
  }

  #changed({ object, previous, deleted }: Change): void {
    const kind = kindKey(object.apiVersion, object.kind)
    const key = keyOf(object)
    if (this.#controllers.has(kind)) {
      this.#noteReferences(key, deleted ? undefined : object)
      this.#enqueue(key)
    }
    this.#tellOthers(object, previous)
  }

  /** Plans anew what owns or names an object, and not the object itself. */
  #tellOthers(object: KubeObject, previous?: KubeObject): void {
    if (!this.#leading) return
    for (const o of [object, previous]) {
      const owner = o?.metadata.ownerReferences?.find((r) => r.controller)
      if (owner && this.#controllers.has(kindKey(owner.apiVersion, owner.kind)))
        this.#enqueueSoon(`${owner.apiVersion}|${owner.kind}|${o?.metadata.namespace ?? ''}|${owner.name}`)
    }
    for (const referrer of this.#referrers.get(keyOf(object)) ?? []) this.#enqueueSoon(referrer)
    const namespace = object.metadata.namespace ?? ''
    for (const { apiVersion, kind, concerns } of this.#controllers.values())
      for (const name of concerns?.(object, this.#world(namespace)) ?? [])
        this.#enqueueSoon(`${apiVersion}|${kind}|${namespace}|${name}`)
  }

  #noteReferences(key: string, resource: KubeObject | undefined): void {
    for (const ref of this.#referencesOf.get(key) ?? []) {
      const referrers = this.#referrers.get(ref)
      referrers?.delete(key)
      if (referrers?.size === 0) this.#referrers.delete(ref)
    }
    this.#referencesOf.delete(key)
    if (!resource) return
    const refs = this.#referencedKeys(resource)
    this.#referencesOf.set(key, refs)
    for (const ref of refs) {
      const referrers = this.#referrers.get(ref) ?? new Set()
      this.#referrers.set(ref, referrers.add(key))
    }
  }

  #referencedKeys(resource: KubeObject): string[] {
    try {
      const refs =
        this.#controllers.get(kindKey(resource.apiVersion, resource.kind))?.references(resource) ?? []
      return refs.map((r) => refKey(r, resource.metadata.namespace ?? ''))
    } catch (err) {
      this.#options.log.error(
        { err, resource: keyOf(resource) },
        'the references of a resource cannot be told',
      )
      return []
    }
  }

  #world(namespace: string): World {
    return {
      get: (ref) => this.#caches.store(ref.apiVersion, ref.kind)?.get(ref.namespace ?? namespace, ref.name),
      list: (apiVersion, kind, selector) =>
        this.#caches.store(apiVersion, kind)?.list(namespace, selector) ?? [],
      served: (apiVersion, kind) => this.#resources.served(apiVersion, kind),
      now: new Date(),
      defaults: this.#options.defaults(),
      namespace,
    }
  }

  async #work(key: string): Promise<void> {
    const [apiVersion = '', kind = '', namespace = '', name = ''] = key.split('|')
    const controller = this.#controllers.get(kindKey(apiVersion, kind))
    const resource = this.#caches.store(apiVersion, kind)?.get(namespace, name)
    // What a deleted resource owned goes with it: the API server's garbage collector sees to that.
    if (!controller || !resource || resource.metadata.deletionTimestamp) return this.#queue.succeed(key)
    const started = performance.now()
    const done = (result: 'ok' | 'retry' | 'refused' | 'error') =>
      this.metrics.reconciled(kind, result, (performance.now() - started) / 1000)
    try {
      await this.#reconcile(key, controller, resource)
      this.#queue.succeed(key)
      done('ok')
    } catch (err) {
      done(await this.#failed(key, resource, err))
      this.#queue.retry(key)
    }
  }

  async #reconcile(key: string, controller: Controller, resource: KubeObject): Promise<void> {
    const ours = await this.#crdOwners.isOurs(resource.apiVersion, resource.kind)
    if (ours === undefined) return this.#queue.addAfter(key, UNPUBLISHED_MS)
    const reason = standAsideReason(resource, ours)
    if (reason) {
      if (!saysStoodAside(resource, reason))
        await this.#writeStatus(resource, stoodAsideStatus(reason), false)
      return
    }
    const plan = await controller.plan(resource, this.#world(resource.metadata.namespace ?? ''))
    await this.#carryOut(plan, resource)
    const hasNews = await plan.effect?.()
    await this.#writeStatus(resource, plan.status, true)
    await this.#events.record(resource, plan.events ?? [])
    if (hasNews) this.#enqueueSoon(key)
    if (plan.requeueAfterMs !== undefined) this.#queue.addAfter(key, plan.requeueAfterMs)
  }

  async #carryOut(plan: Plan, owner: KubeObject): Promise<void> {
    for (const object of plan.apply) {
      const { resource, store } = this.#place(object)
      if (!(await this.#applier.apply(object, owner, resource, store))) continue
      this.metrics.applied(object.kind)
      // A resource that another resource makes: its own controller would not hear of a write of ours.
      const made = store.get(
        object.metadata.namespace ?? owner.metadata.namespace ?? '',
        object.metadata.name,
      )
      if (made && this.#controllers.has(kindKey(made.apiVersion, made.kind))) {
        this.#noteReferences(keyOf(made), made)
        this.#enqueue(keyOf(made))
      }
    }
    for (const ref of plan.remove ?? []) {
      const store = this.#caches.store(ref.apiVersion, ref.kind)
      const resource = this.#resources.find(ref.apiVersion, ref.kind)
      const live = store?.get(ref.namespace ?? owner.metadata.namespace ?? '', ref.name)
      if (resource && store) await this.#applier.remove(live, owner, resource, store)
    }
  }

  #place(object: KubeObject) {
    const store = this.#caches.store(object.apiVersion, object.kind)
    if (!store) throw new Error(`${object.kind} is applied but not in the controller's "owns"`)
    const resource = this.#resources.find(object.apiVersion, object.kind)
    if (!resource)
      throw new ApplyRefused(
        object,
        'NotServed',
        `the API server does not serve ${object.apiVersion} ${object.kind}`,
      )
    return { store, resource }
  }

  /** Writes a status when it differs; `whole` says that it replaces what this operator wrote before. */
  async #writeStatus(resource: KubeObject, wanted: Record<string, unknown>, whole: boolean): Promise<void> {
    const { apiVersion, kind, metadata } = resource
    const store = this.#caches.store(apiVersion, kind)
    const current = store?.get(metadata.namespace ?? '', metadata.name) ?? resource
    if (current.metadata.uid !== metadata.uid) return
    const status = nextStatus(current, wanted, new Date())
    if (!status) return
    const place = this.#resources.find(apiVersion, kind)
    if (!place) return
    if (!whole) delete status.observedGeneration
    const answer: KubeObject = await this.#options.client.request({
      method: 'PATCH',
      path: `${resourcePath(place, metadata.namespace, metadata.name)}/status`,
      query: { fieldManager: this.#fieldManager, force: true },
      contentType: 'application/apply-patch+yaml',
      body: {
        apiVersion,
        kind,
        // A resource that was deleted and made again meanwhile must not get the old one's status.
        metadata: { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid },
        status,
      },
    })
    store?.upsert({ ...answer, apiVersion, kind }, true)
    // Whoever waits for it, such as a NIMService for its NIMCache, has to hear of a status of ours too.
    this.#tellOthers({ ...answer, apiVersion, kind })
  }

  async #failed(key: string, resource: KubeObject, err: unknown): Promise<'retry' | 'refused' | 'error'> {
    // Deleted in the meantime: nothing is left to do.
    if (isStatus(err, 404)) return 'retry'
    if (err instanceof KubeError && err.transient) {
      this.#options.log.info({ key, cause: err.reason, detail: err.message }, 'trying again')
      return 'retry'
    }
    const refused = err instanceof ApplyRefused
    if (!refused) this.#options.log.error({ err, key }, 'reconciliation failed')
    const text = err instanceof Error ? err.message : String(err)
    const reason = refused ? `${err.object.kind}${err.reason}` : 'ReconcileFailed'
    const message = refused ? text : `this operator failed: ${text}. Its log has more; report it if it stays`
    try {
      await this.#writeStatus(resource, refusedStatus(resource, reason, message), true)
      await this.#events.record(resource, [{ type: 'Warning', reason, message }])
    } catch (second) {
      this.#options.log.warn({ err: second, key }, 'the status could not be written')
    }
    return refused ? 'refused' : 'error'
  }
}

const keyOf = (o: KubeObject) => `${o.apiVersion}|${o.kind}|${o.metadata.namespace ?? ''}|${o.metadata.name}`

const refKey = (ref: ObjectRef, namespace: string) =>
  `${ref.apiVersion}|${ref.kind}|${ref.namespace ?? namespace}|${ref.name}`
