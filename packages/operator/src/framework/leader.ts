// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { isStatus, type KubeClient } from './client.ts'
import type { KubeObject } from './types.ts'

export interface LeaderTimes {
  /** Others take over after this time without a renewal. */
  leaseMs: number
  /** The leader gives up after this time without a successful renewal: sooner than others take over. */
  giveUpMs: number
  renewMs: number
  retryMs: number
}

export const LEADER_TIMES: LeaderTimes = { leaseMs: 15_000, giveUpMs: 10_000, renewMs: 5_000, retryMs: 2_000 }

interface Lease {
  metadata: { name: string; namespace: string; resourceVersion?: string }
  spec: {
    holderIdentity?: string
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}

export interface Leadership {
  /** Resolves when this process leads. */
  acquired: Promise<void>
  isLeader(): boolean
  /** Resolves when leadership was lost; never when it is given up by `release`. */
  lost: Promise<void>
  /** Gives the Lease back, so that another process leads at once. */
  release(): Promise<void>
}

/** Takes part in the election for the Lease `name`: one process of all that do leads at a time. */
export function electLeader(options: {
  client: KubeClient
  namespace: string
  name: string
  identity: string
  log: Logger
  times?: LeaderTimes
  /** ConfigMap of the same namespace that owns the Lease, so that it goes with the installation. */
  ownerConfigMap?: string
}): Leadership {
  const { client, namespace, name, identity, log } = options
  const times = options.times ?? LEADER_TIMES
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
  const acquired = Promise.withResolvers<void>()
  const lost = Promise.withResolvers<void>()
  const stop = new AbortController()
  let leader = false
  /** What was last seen of another holder, and when by our own clock: clocks of machines differ. */
  let seen = { version: '', at: 0 }
  let known: Lease | undefined
  let ownerReferences: object[] = []

  /** Read once: while an installation goes, the Lease may be made again after its owner went. */
  const findOwner = async () => {
    const owner = options.ownerConfigMap
    if (!owner) return
    try {
      const found: KubeObject = await client.request({
        path: `/api/v1/namespaces/${namespace}/configmaps/${owner}`,
        timeoutMs: 5_000,
      })
      ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: owner, uid: found.metadata.uid }]
    } catch (err) {
      log.warn({ err, configMap: owner }, 'the Lease gets no owner: it stays when the operator goes')
    }
  }

  const write = async (lease: Lease | undefined): Promise<boolean> => {
    const now = new Date().toISOString().replace('Z', '000Z')
    const mine = lease?.spec.holderIdentity === identity
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: lease?.metadata ?? {
        name,
        namespace,
        ...(ownerReferences.length > 0 && { ownerReferences }),
      },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.round(times.leaseMs / 1000)),
        acquireTime: mine ? lease?.spec.acquireTime : now,
        renewTime: now,
        leaseTransitions: (lease?.spec.leaseTransitions ?? 0) + (lease && !mine ? 1 : 0),
      },
    }
    try {
      known = await client.request(
        lease ? { method: 'PUT', path: `${path}/${name}`, body } : { method: 'POST', path, body },
      )
      return true
    } catch (err) {
      // Another was faster: the next look shows who.
      if (!isStatus(err, 409)) throw err
      known = undefined
      return false
    }
  }

  const attempt = async (): Promise<boolean> => {
    const lease: Lease | undefined =
      leader && known
        ? known
        : await client.request({ path: `${path}/${name}`, timeoutMs: 5_000 }).catch((err) => {
            if (isStatus(err, 404)) return undefined
            throw err
          })
    const holder = lease?.spec.holderIdentity
    if (!lease || !holder || holder === identity) return write(lease)
    const version = lease.metadata.resourceVersion ?? ''
    if (version !== seen.version) seen = { version, at: Date.now() }
    return Date.now() - seen.at > times.leaseMs ? write(lease) : false
  }

  /** One attempt; whether this process holds the Lease now, or undefined when nobody could say. */
  const tryOnce = () =>
    attempt().catch((err) => {
      log.warn({ err, lease: name }, 'the Lease could not be written')
      return undefined
    })

  const run = async () => {
    await findOwner()
    let renewed = 0
    while (!stop.signal.aborted) {
      const held = await tryOnce()
      if (held) {
        renewed = Date.now()
        if (!leader) log.info({ lease: name, identity }, 'leading')
        leader = true
        acquired.resolve()
      }
      if (leader && (held === false || Date.now() - renewed > times.giveUpMs)) break
      await sleep(held ? times.renewMs : times.retryMs, undefined, { signal: stop.signal }).catch(
        () => undefined,
      )
    }
    if (stop.signal.aborted) return
    leader = false
    lost.resolve()
  }
  const running = run()
  return {
    acquired: acquired.promise,
    isLeader: () => leader,
    lost: lost.promise,
    async release() {
      stop.abort()
      await running
      if (!leader) return
      leader = false
      const lease: Lease | undefined = await client
        .request({ path: `${path}/${name}`, timeoutMs: 2_000 })
        .catch(() => undefined)
      if (lease?.spec.holderIdentity !== identity) return
      const body = { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 } }
      await client
        .request({ method: 'PUT', path: `${path}/${name}`, body, timeoutMs: 2_000 })
        .catch((err) => {
          log.warn({ err }, 'the Lease was not given back; the next leader waits until it expires')
        })
    },
  }
}
