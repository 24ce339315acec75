// SPDX-License-Identifier: Apache-2.0
import { added, allObjects } from './objects.ts'
import { type HelmVersion, type Site, until } from './site.ts'

/** An installation: a namespace, and the names of its two releases. */
export interface Place {
  ns: string
  infra: string
  instances: string
}

interface PodList {
  items: {
    metadata: { name: string; uid: string }
    status: { phase: string; containerStatuses?: { ready: boolean; restartCount: number }[] }
  }[]
}

/** What is done with an installation, on a site that is open when it is done. */
export function workOn(site: () => Site) {
  /** Runs lines of the guide for a place. */
  const sh = (place: Place, lines: string, helm: HelmVersion = 'helm3') =>
    site().shell(
      lines
        .replaceAll('<namespace>', place.ns)
        .replaceAll('<infra>', place.infra)
        .replaceAll('<instances>', place.instances),
      helm,
    )
  /** Installs both charts as small as they get, and waits until all is well. */
  const installSmall = async (place: Place, values = '', helm: HelmVersion = 'helm3') => {
    await sh(
      place,
      `helm install <infra> deploy/nemo-infra -n <namespace> --set profile=minimal ${values}
helm install <instances> deploy/nemo-instances -n <namespace> --set infra.releaseName=<infra> ${values}`,
      helm,
    )
    await verify(place)
  }
  const pods = async ({ ns }: Place) =>
    (JSON.parse(await site().kubectl('get', 'pods', '-n', ns, '-o', 'json')) as PodList).items
  /** Name and UID of every pod that runs, without finished ones. */
  const running = async (place: Place) =>
    new Map(
      (await pods(place))
        .filter((pod) => pod.status.phase === 'Running')
        .map((pod) => [pod.metadata.name, pod.metadata.uid]),
    )
  const show = async ({ ns }: Place) =>
    (await site().kubectl('get', 'pods,nemocustomizer,nemoevaluator,nimservice', '-n', ns)).slice(0, 6000)
  /** `nemoctl verify` says by its exit code that all is well. */
  const verify = async ({ ns }: Place, wait = 480) => {
    try {
      return await site().nemoctl('verify', '-n', ns, '--wait', String(wait))
    } catch (error) {
      throw new Error((error as { stdout?: string }).stdout || String(error), { cause: error })
    }
  }
  const allRun = (place: Place, wait: number) =>
    until(
      `pods of ${place.ns}`,
      wait,
      async () => {
        const all = (await pods(place)).filter((pod) => pod.status.phase !== 'Succeeded')
        return all.length > 0 && all.every((pod) => pod.status.containerStatuses?.every((c) => c.ready))
      },
      () => show(place),
    )
  const prepare = async ({ ns }: Place) => {
    await site().kubectl('create', 'namespace', ns)
    await site().kubectl('label', 'namespace', ns, 'pod-security.kubernetes.io/enforce=restricted')
    await site().kubectl('wait', '--for=create', 'serviceaccount/default', '-n', ns, '--timeout=30s')
  }
  return { sh, installSmall, pods, running, show, verify, allRun, prepare }
}

/** The account of a cluster's objects: what was there before, and what is declared kept. */
export function openAccount(site: () => Site) {
  let untouched = new Set<string>()
  /** Objects that are declared kept: volumes, CRDs with the API services they bring, and Secrets with passwords. */
  const passwords = new Set<string>()
  const isKept = (object: string) =>
    /^(PersistentVolume|PersistentVolumeClaim|CustomResourceDefinition|APIService) /.test(object) ||
    passwords.has(object)
  const rememberPasswords = async ({ ns }: Place) => {
    const made = '-l=app.kubernetes.io/component=password'
    const path = 'jsonpath={range .items[*]}Secret {.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
    for (const line of (await site().kubectl('get', 'secret', '-n', ns, made, '-o', path)).split('\n'))
      if (line) passwords.add(line)
  }
  /** Waits until nothing of a place remains but what is declared kept. */
  const nothingRemains = async (place: Place, also: RegExp = /^$/) => {
    let left: string[] = []
    const mine = (object: string) => object.includes(` ${place.ns}/`) || object.includes(' /')
    await until(
      `nothing remains in ${place.ns}`,
      180,
      async () => {
        left = added(untouched, await allObjects(site()), (o) => !mine(o) || isKept(o) || also.test(o))
        return left.length === 0
      },
      async () => left.join('\n'),
    )
  }
  const begin = async () => {
    untouched = await allObjects(site())
  }
  return { begin, passwords, rememberPasswords, nothingRemains }
}
