// SPDX-License-Identifier: Apache-2.0
// Both charts in the lab, everything on but Argo and Volcano, whose images are on no package registry: how long until all
// is Ready, and until nothing is left but what is declared kept. NEMO_TEST_LAB=<dir> takes a lab that runs.
import { setTimeout as sleep } from 'node:timers/promises'
import { noLab, openSite, SEED_IMAGES, type Site } from '../test/cluster/support/site.ts'
import type { Bench, Row } from './lib.ts'

const WITHOUT = '--set install.argo=false,install.volcano=false'
const LIMIT_S = 600
const KINDS = 'nemocustomizer,nemodatastore,nemoentitystore,nemoevaluator,nemoguardrail,nimcache,nimpipeline'
/** Everything that the charts and operators make but what is declared kept: volumes, and Secrets with passwords. */
const MADE =
  'all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,nimservice,nemotrainingjob,lease'
const KEPT =
  /^(configmap\/kube-root-ca\.crt|serviceaccount\/default|secret\/.*-(postgresql|minio|jupyter|existing-secret))$/

interface Pods {
  items: { status: { phase: string; containerStatuses?: { ready: boolean }[] } }[]
}

/** Seconds until it holds. */
async function timed(
  what: string,
  holds: () => Promise<boolean>,
  begun = performance.now(),
): Promise<number> {
  while (!(await holds())) {
    if (performance.now() - begun > LIMIT_S * 1000) throw new Error(`${what}: not within ${LIMIT_S} s`)
    await sleep(250)
  }
  const seconds = Math.round((performance.now() - begun) / 100) / 10
  console.log(`${what}: ${seconds} s`)
  return seconds
}

async function measure(site: Site, ns: string): Promise<Row[]> {
  const { kubectl, shell } = site
  const podsReady = async (atLeast: number) => {
    const { items }: Pods = JSON.parse(await kubectl('get', 'pods', '-n', ns, '-o', 'json'))
    const lasting = items.filter(({ status }) => status.phase !== 'Succeeded')
    const isReady = lasting.every(({ status }) => status.containerStatuses?.every(({ ready }) => ready))
    return lasting.length >= atLeast && isReady
  }
  const states = async () =>
    (await kubectl('get', `${KINDS},nimservice`, '-n', ns, '-o', 'jsonpath={.items[*].status.state}')).split(
      ' ',
    )
  const isGone = async () => {
    const left = (await kubectl('get', `${KINDS},${MADE}`, '-n', ns, '-o', 'name', '--ignore-not-found'))
      .split('\n')
      .map((name) => name.replace(/^([a-z]+)\.[a-z0-9.]+\//, '$1/'))
      .filter((name) => name && !KEPT.test(name))
    return left.length === 0
  }
  const install = async () => {
    const begun = performance.now()
    await shell(`helm install nemo-infra deploy/nemo-infra -n ${ns} ${WITHOUT}`, 'helm4')
    const infra = await timed('infrastructure Ready', () => podsReady(12), begun)
    const from = performance.now()
    await shell(`helm install nemo-instances deploy/nemo-instances -n ${ns}`, 'helm4')
    const isReady = async () => {
      const all = await states()
      return all.length === 8 && all.every((state) => state === 'Ready') && (await podsReady(20))
    }
    return { infra, instances: await timed('services Ready', isReady, from) }
  }
  const uninstall = async (what: string) => {
    const begun = performance.now()
    await shell(`helm uninstall nemo-instances -n ${ns}; helm uninstall nemo-infra -n ${ns}`, 'helm4')
    return timed(what, isGone, begun)
  }

  const fresh = await install()
  const ordinary = await uninstall('uninstalled')
  await install()
  await kubectl(
    'scale',
    'deployment',
    '-n',
    ns,
    '--replicas=0',
    '-l',
    'app.kubernetes.io/part-of=nemo-instances',
  )
  const dead = await uninstall('uninstalled with the operators dead')
  const row = (name: string, value: number, target: number): Row => ({ name, value, unit: 's', target })
  return [
    row('charts.infra_ready_s', fresh.infra, 90),
    row('charts.instances_ready_s', fresh.instances, 90),
    row('charts.both_ready_s', Math.round((fresh.infra + fresh.instances) * 10) / 10, 90),
    row('charts.uninstall_s', ordinary, 60),
    row('charts.uninstall_operators_dead_s', dead, 60),
  ]
}

export const bench: Bench = {
  run: async () => {
    if (noLab) throw new Error(noLab)
    const site = await openSite(SEED_IMAGES)
    const ns = `bench-${Date.now().toString(36)}`
    try {
      await site.kubectl('create', 'namespace', ns)
      await site.kubectl('label', 'namespace', ns, 'pod-security.kubernetes.io/enforce=restricted')
      return await measure(site, ns)
    } finally {
      await site.kubectl('delete', 'namespace', ns, '--ignore-not-found')
      await site.close()
    }
  },
}
