// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { connect, type Kube, type KubeObject, type Resource } from '../kube/api.ts'
import { CONFIG_MAPS, customResource, NAMESPACES, PODS, SCCS, SECRETS } from '../kube/resources.ts'
import { namespacesUsing, ownScc } from './scc.ts'

type Env = Record<string, string | undefined>

const settings = z.object({
  /** The Helm release that this Job belongs to. */
  RELEASE: z.string().min(1),
  /** Its resources, as JSON `[{"kind": "NIMCache", "name": "nimcache-sample"}]`. */
  RESOURCES: z.string().transform((text, context) => {
    try {
      return z.array(z.object({ kind: z.string(), name: z.string().min(1) })).parse(JSON.parse(text))
    } catch (err) {
      context.addIssue({ code: 'custom', message: `is no list of resources: ${err}` })
      return z.NEVER
    }
  }),
  /** Seconds after which the Job gives up waiting and lets Helm go on. */
  TIMEOUT_SECONDS: z.coerce.number().int().min(1).default(120),
  /** Seconds that controllers get to take their finalizers off. */
  GRACE_SECONDS: z.coerce.number().int().min(0).default(10),
  /** SecurityContextConstraints that go with the last namespace that binds them. */
  SCC: z.string().default(''),
})

export interface CleanupPlan {
  release: string
  resources: { kind: string; name: string }[]
  timeoutMs: number
  graceMs: number
  pollMs?: number
  log?: (line: string) => void
}

/** A resource that is going, with the path that serves it. */
interface Going {
  resource: Resource
  name: string
  uid?: string
}

/** Kinds whose objects the listed ones own: they go with them, also where no garbage collector gets to it in time. */
const DEPENDENT_KINDS = ['NIMService', 'NemoTrainingJob']
/** The garbage collector's own finalizers; it takes them off when it is done. */
const COLLECTOR = new Set(['foregroundDeletion', 'orphan'])

/**
 * Why the release may be cleaned up: Helm's record says that it is being uninstalled, or its namespace is going.
 * Undefined otherwise, as when a rendered chart was applied by hand and this Job runs like any other.
 */
export async function proofOfUninstall(kube: Kube, release: string): Promise<string | undefined> {
  const labels = { owner: 'helm', name: release, status: 'uninstalling' }
  for (const resource of [SECRETS, CONFIG_MAPS]) {
    const [record] = await kube.list(resource, labels)
    if (record) return `Helm's record ${record.metadata.name} says "uninstalling"`
  }
  const namespace = await kube.get(NAMESPACES, kube.namespace)
  return namespace?.metadata.deletionTimestamp ? 'the namespace is being deleted' : undefined
}

/**
 * Deletes the resources of a release that is being uninstalled, waits until they and their pods are gone, and takes
 * off finalizers that nobody serves any more. Ends within the time given, whatever is left; returns what is.
 */
export async function cleanUp(kube: Kube, plan: CleanupPlan): Promise<string[]> {
  const { log = console.log, pollMs = 1000 } = plan
  const begun = Date.now()
  const elapsed = () => Date.now() - begun
  let going = await deleteAll(kube, plan, log)
  const names = new Set([...plan.resources, ...going].map(({ name }) => name))
  while (going.length > 0 && elapsed() < plan.timeoutMs) {
    const left: Going[] = []
    for (const each of going) {
      const current = await kube.get(each.resource, each.name)
      // One made anew under the same name, by somebody else, is not ours to delete.
      if (!current || (each.uid && current.metadata.uid !== each.uid)) continue
      left.push(each)
      // NVIDIA's finalizers guard nothing. Any other gets twice the time before it is taken for dead.
      const patience = isNvidias(current) ? plan.graceMs : 2 * plan.graceMs
      if (elapsed() >= patience) await strip(kube, each, current, log)
    }
    going = left
    if (going.length > 0) await sleep(pollMs)
  }
  const pods = await waitForPods(kube, names, () => plan.timeoutMs - elapsed(), pollMs)
  const left = [...going.map(({ resource, name }) => `${resource.plural}/${name}`), ...pods]
  if (left.length === 0) log(`all gone after ${Math.round(elapsed() / 1000)} s`)
  return left
}

async function deleteAll(kube: Kube, plan: CleanupPlan, log: (line: string) => void): Promise<Going[]> {
  const going: Going[] = []
  const uids = new Set<string>()
  const remove = async (resource: Resource, found: KubeObject) => {
    going.push({ resource, name: found.metadata.name, uid: found.metadata.uid })
    if (found.metadata.uid) uids.add(found.metadata.uid)
    if (!found.metadata.deletionTimestamp) await kube.remove(resource, found.metadata.name)
    log(`deleting ${resource.plural}/${found.metadata.name}`)
  }
  for (const { kind, name } of plan.resources) {
    const resource = customResource(kind)
    const found = await kube.get(resource, name)
    if (!found) continue
    const owner = found.metadata.annotations?.['meta.helm.sh/release-name'] ?? plan.release
    if (owner === plan.release) await remove(resource, found)
    else log(`${resource.plural}/${name} belongs to release ${owner}: left as it is`)
  }
  for (const kind of DEPENDENT_KINDS) {
    const resource = customResource(kind)
    for (const found of await kube.list(resource)) {
      if (found.metadata.ownerReferences?.some((owner) => uids.has(owner.uid))) await remove(resource, found)
    }
  }
  return going
}

const isNvidias = (o: KubeObject) =>
  (o.metadata.finalizers ?? []).every((name) => COLLECTOR.has(name) || name.endsWith('nvidia.com'))

async function strip(
  kube: Kube,
  each: Going,
  current: KubeObject,
  log: (line: string) => void,
): Promise<void> {
  const finalizers = current.metadata.finalizers ?? []
  const keep = finalizers.filter((name) => COLLECTOR.has(name))
  if (keep.length === finalizers.length) return
  const { resourceVersion } = current.metadata
  try {
    await kube.merge(each.resource, each.name, { metadata: { resourceVersion, finalizers: keep } })
    log(
      `${each.resource.plural}/${each.name}: took off ${finalizers.filter((f) => !keep.includes(f)).join(', ')}`,
    )
  } catch (err) {
    // Somebody else changed it, or a webhook whose server is gone refuses: the next round tries again.
    log(`${each.resource.plural}/${each.name}: ${err instanceof Error ? err.message : err}`)
  }
}

/** A service's pods carry the name of their resource as instance, those that bring a model as name. */
const NAME_LABELS = ['app.kubernetes.io/instance', 'app.kubernetes.io/name']

/** Pods that the operators made for the resources. */
async function waitForPods(
  kube: Kube,
  names: ReadonlySet<string>,
  timeLeft: () => number,
  pollMs: number,
): Promise<string[]> {
  for (;;) {
    const left = (await kube.list(PODS))
      .filter((pod) => NAME_LABELS.some((label) => names.has(pod.metadata.labels?.[label] ?? '')))
      .filter((pod) => !isFinished(pod))
      .map((pod) => `pods/${pod.metadata.name}`)
    if (left.length === 0 || timeLeft() <= 0) return left
    await sleep(pollMs)
  }
}

const isFinished = (pod: KubeObject) =>
  ['Succeeded', 'Failed'].includes((pod.status as { phase?: string } | undefined)?.phase ?? '')

/**
 * Deletes a constraint that all releases share, unless another namespace still binds it. Returns a line for people.
 */
export async function dropScc(kube: Kube, scc: string): Promise<string> {
  const users = (await namespacesUsing(kube, scc)).filter((name) => name !== kube.namespace)
  if (users.length > 0) {
    // This namespace is no user any more, so the constraint must not wait for its end.
    await ownScc(kube, scc, kube.namespace)
    return `${scc} stays: ${users.join(', ')} still uses it`
  }
  return (await kube.remove(SCCS, scc)) ? `${scc} deleted` : `no ${scc}`
}

/**
 * `nemoctl hook cleanup`: runs before Helm deletes a release. It never fails the uninstall: what it cannot prove or
 * finish it says, and Helm goes on, since none of our own resources needs it.
 */
export async function cleanup(env: Env, kube?: Kube): Promise<number> {
  const config = settings.parse(env)
  const cluster = kube ?? (await connect(env))
  const proof = await proofOfUninstall(cluster, config.RELEASE)
  if (!proof) {
    console.log(`release ${config.RELEASE} is not being uninstalled: nothing is deleted`)
    return 0
  }
  console.log(`release ${config.RELEASE}: ${proof}`)
  const left = await cleanUp(cluster, {
    release: config.RELEASE,
    resources: config.RESOURCES,
    timeoutMs: config.TIMEOUT_SECONDS * 1000,
    graceMs: config.GRACE_SECONDS * 1000,
  })
  if (config.SCC) console.log(await dropScc(cluster, config.SCC))
  if (left.length > 0) console.log(`still there after ${config.TIMEOUT_SECONDS} s: ${left.join(', ')}`)
  return 0
}
