// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { isStatus, type KubeClient } from './client.ts'
import { contentHash } from './compare.ts'
import type { KubeObject, PlannedEvent } from './types.ts'

const FORGET_AFTER = 5_000
const MESSAGE_LIMIT = 1_000

/** Writes Events: one for each new thing that happened to a resource, however often the plan says it. */
export class EventRecorder {
  readonly #client: KubeClient
  readonly #component: string
  readonly #log: Logger
  /** Events of each resource's last plan: one that is still true is not said again. */
  readonly #said = new Map<string, Set<string>>()

  constructor(client: KubeClient, component: string, log: Logger) {
    this.#client = client
    this.#component = component
    this.#log = log
  }

  async record(resource: KubeObject, events: PlannedEvent[]): Promise<void> {
    const uid = resource.metadata.uid ?? ''
    const before = this.#said.get(uid)
    const now = new Set<string>()
    for (const event of events) {
      const id = contentHash({ uid, ...event })
      now.add(id)
      if (!before?.has(id)) await this.#write(resource, event, id)
    }
    if (now.size === 0) this.#said.delete(uid)
    else this.#said.set(uid, now)
    if (this.#said.size > FORGET_AFTER) this.#said.clear()
  }

  async #write(resource: KubeObject, event: PlannedEvent, id: string): Promise<void> {
    const { name, namespace = 'default', uid, resourceVersion } = resource.metadata
    const path = `/api/v1/namespaces/${namespace}/events`
    const time = `${new Date().toISOString().slice(0, 19)}Z`
    // The name follows from what is said, so a restarted operator counts the Event up and makes no second one.
    const eventName = `${name.slice(0, 200)}.${id}`
    const body = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: eventName, namespace },
      involvedObject: {
        apiVersion: resource.apiVersion,
        kind: resource.kind,
        name,
        namespace,
        uid,
        resourceVersion,
      },
      ...event,
      message: event.message.slice(0, MESSAGE_LIMIT),
      source: { component: this.#component },
      reportingComponent: this.#component,
      reportingInstance: this.#component,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    }
    try {
      await this.#client.request({ method: 'POST', path, body })
    } catch (err) {
      // Events are a courtesy: a resource never waits for one.
      if (!isStatus(err, 409)) return this.#log.warn({ err, event: event.reason }, 'an Event was not written')
      await this.#again(`${path}/${eventName}`, time)
    }
  }

  async #again(path: string, time: string): Promise<void> {
    const known = await this.#client.request({ path }).catch(() => undefined)
    const body = { count: (known?.count ?? 0) + 1, lastTimestamp: time }
    await this.#client
      .request({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body })
      .catch((err) => this.#log.warn({ err }, 'an Event was not counted up'))
  }
}
