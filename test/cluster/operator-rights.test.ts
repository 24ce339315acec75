// SPDX-License-Identifier: Apache-2.0
// The operators with the tokens of the chart's own ServiceAccounts, on an API server that checks what OpenShift's does.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { OPERATORS, type OperatorName } from '@open-nemo/operator/controllers.ts'
import { loadConnection } from '@open-nemo/operator/framework/connection.ts'
import { type RunningProcess, runOperator } from '@open-nemo/operator/main/run.ts'
import { FaultProxy } from '@open-nemo/operator/testing/fault-proxy.ts'
import { parse, stringify } from 'yaml'
import {
  type ControlPlane,
  ensurePublishedCrd,
  type PublishedCrd,
  startControlPlane,
} from '../../packages/cli/src/lab/index.ts'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { infraChart, instancesChart, type KubeObject, noHelm, render } from '../charts/helm.ts'
import { everyResource, namedByThem, type Resource, withoutOptions } from './support/every-resource.ts'
import { neededFor, type Rule, rightsOf } from './support/rights.ts'
import { until } from './support/until.ts'

const NS = 'operators'
const PUBLISHED: PublishedCrd[] = ['httproutes', 'servicemonitors']
const ACCOUNTS: Record<OperatorName, string> = {
  nemo: 'nemo-samples-nemo-operator-controller-manager',
  training: 'nemo-samples-nemo-operator-controller-manager',
  nim: 'nemo-samples-nim-operator',
}
const KINDS =
  'nemocustomizer,nemodatastore,nemoentitystore,nemoevaluator,nemoguardrail,nimcache,nimservice,nimpipeline,nemotrainingjob'
const IDLE_MS = 25_000
const skip = process.platform === 'linux' ? noHelm : 'needs Linux'

describe("the operators with the chart's own rights", { skip }, () => {
  let dir = ''
  let plane: ControlPlane
  let objects: KubeObject[] = []
  const all = everyResource(NS)
  const proxies = new Map<OperatorName, FaultProxy>()
  const running: RunningProcess[] = []

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-rights-'))
    const onProgress = ({ message }: { message: string }) => console.log(message)
    // On in OpenShift: an owner reference that blocks deletion takes a right on its owner.
    plane = await startControlPlane({
      dir: join(dir, 'plane'),
      admission: ['OwnerReferencesPermissionEnforcement'],
      onProgress,
    })
    const crds = [join(instancesChart, 'crds'), join(infraChart, 'charts/volcanocrds/crds')]
    for (const name of PUBLISHED) crds.push(await ensurePublishedCrd(cacheDir(), name, onProgress))
    await install(crds)
    await plane.kubectl(['create', 'namespace', NS])
    objects = render(instancesChart, { release: 'r', namespace: NS, apiVersions: ['config.openshift.io/v1'] })
    const rights = objects.filter(
      ({ kind, metadata }) =>
        ['ServiceAccount', 'Role', 'RoleBinding', 'ConfigMap'].includes(kind) &&
        metadata.name.startsWith('nemo-samples-'),
    )
    assert.equal(rights.length, 7)
    for (const object of rights) await apply(object)
    for (const object of namedByThem()) await apply(object)
    for (const name of OPERATORS) running.push(await startAs(name))
  })
  after(async () => {
    for (const process of running) await process.stop()
    for (const proxy of proxies.values()) {
      await proxy.stop()
      proxy.close()
    }
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const install = async (crds: string[]) => {
    const files = crds.flatMap((path) => ['-f', path])
    await plane.kubectl(['apply', '--server-side', ...files])
    // kubectl will not wait for a condition of what has none at all yet.
    const wait = ['wait', '--for=condition=Established', '--timeout=120s', ...files]
    await until(() => plane.kubectl(wait).then(Boolean, () => false))
  }
  const apply = (object: unknown) =>
    plane.kubectl(
      ['apply', '--server-side', '--force-conflicts', '-n', NS, '-f', '-'],
      JSON.stringify(object),
    )
  const exists = async (kind: string, name: string) =>
    (await plane.kubectl(['get', kind, name, '-n', NS, '--ignore-not-found', '-o', 'name'])) !== ''

  /** An operator as its pod runs it: with the token of its ServiceAccount, and what the chart says. */
  async function startAs(name: OperatorName): Promise<RunningProcess> {
    const token = (await plane.kubectl(['create', 'token', ACCOUNTS[name], '-n', NS])).trim()
    const config = parse(await readFile(plane.kubeconfig, 'utf8'))
    config.users = [{ name: 'sa', user: { token } }]
    for (const { context } of config.contexts) context.user = 'sa'
    const own = join(dir, `${name}.yaml`)
    await writeFile(own, stringify(config))
    const proxy = new FaultProxy(await loadConnection({ KUBECONFIG: own }))
    proxies.set(name, proxy)
    const { server } = await proxy.start()
    const through = join(dir, `${name}-through.yaml`)
    await writeFile(through, kubeconfig(server))
    const defaults = join(dir, 'defaults.yaml')
    const chart = objects.find((o) => o.metadata.name === 'nemo-samples-operator-defaults')
    await writeFile(defaults, chart?.data['defaults.yaml'])
    return runOperator(name, {
      KUBECONFIG: through,
      POD_NAMESPACE: NS,
      NEMO_OPERATOR_PORT: '0',
      NEMO_OPERATOR_DEFAULTS: defaults,
      LOG_LEVEL: 'silent',
    })
  }

  /** Each refusal, as the operator that met it, the request and the answer. */
  const refused = () =>
    [...proxies].flatMap(([name, { requests }]) =>
      requests.filter((r) => r.status === 403).map((r) => `${name}: ${r.method} ${r.path}`),
    )
  /** What the operators say of resources that they were not allowed to serve. */
  const complaints = async () => {
    const found = JSON.parse(await plane.kubectl(['get', KINDS, '-n', NS, '-o', 'json']))
    return (found.items as Resource[]).flatMap(({ kind, metadata, status }) =>
      (status?.conditions ?? [])
        .filter(({ message }) => /forbidden|could not be written|refused:/i.test(message ?? ''))
        .map(({ message }) => `${kind} ${metadata.name}: ${message}`),
    )
  }
  const settled = async () => {
    for (const { makes, kind: ofKind, metadata } of all)
      for (const [kind, name] of makes)
        await until(() => exists(kind, name)).catch(async () => {
          const said = await plane.kubectl(['get', ofKind, metadata.name, '-n', NS])
          assert.fail(`${kind} ${name} is not there\n${[said, ...refused()].join('\n')}`)
        })
  }

  it('make everything of every kind with every option, and nothing is refused', async () => {
    const text = all.map(({ makes: _, ...each }) => JSON.stringify(each)).join('\n')
    await plane.kubectl(['apply', '--server-side', '-f', '-'], text)
    const said = () => plane.kubectl(['get', 'nimservice', 'nim-kserve', '-n', NS])
    await until(async () => /KServe is not installed/.test(await said()))
    await install([await ensurePublishedCrd(cacheDir(), 'inferenceservices', () => undefined)])
    await settled()
    assert.deepEqual(await complaints(), [])
    assert.deepEqual(refused(), [])
  })

  it("roll a NIM's pod when a Secret or ConfigMap that it takes values from changes", async () => {
    const hash = () =>
      plane.kubectl([
        ...['get', 'deployment', 'nim-theirs', '-n', NS, '-o'],
        String.raw`jsonpath={.spec.template.metadata.annotations.open-nemo\.io/inputs-hash}`,
      ])
    for (const object of namedByThem().filter(({ metadata }) => ['key', 'models'].includes(metadata.name))) {
      const before = await hash()
      await apply({ ...object, data: { k: 'bmV3' } })
      await until(async () => (await hash()) !== before)
    }
  })

  it('write nothing while nothing changes, although nothing is ready', async () => {
    const states = await plane.kubectl([
      ...['get', KINDS, '-n', NS],
      ...['-o', 'jsonpath={range .items[*]}{.status.state}{"\\n"}{end}'],
    ])
    assert.doesNotMatch(states.trim(), /^(Ready|Completed)?$/m)
    const counts = () => Promise.all(running.map(({ port }) => planned(port)))
    await sleep(5_000)
    const before = [...proxies.values()].map(({ requests }) => requests.length)
    const plannedBefore = await counts()
    await sleep(IDLE_MS)
    const writes = [...proxies.values()].flatMap(({ requests }, i) =>
      requests.slice(before[i]).filter(({ method, path }) => method !== 'GET' && !path.includes('/leases/')),
    )
    assert.deepEqual(writes, [])
    assert.deepEqual(await counts(), plannedBefore, 'something was planned again and again')
  })

  it('make an InferenceService as KServe publishes it, and follow its status', async () => {
    const stored = JSON.parse(
      await plane.kubectl(['get', 'inferenceservice', 'nim-kserve-full', '-n', NS, '-o', 'json']),
    )
    const [container, sidecar] = stored.spec.predictor.containers
    assert.deepEqual([container.name, sidecar.name], ['kserve-container', 'sidecar'])
    assert.deepEqual([stored.spec.predictor.minReplicas, stored.spec.predictor.maxReplicas], [2, 5])
    const url = 'http://nim-kserve.example.com'
    const status = { url, address: { url: `${url}:80` }, conditions: [{ type: 'Ready', status: 'True' }] }
    const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]
    await plane.kubectl(['patch', 'inferenceservice', 'nim-kserve', '-n', NS, ...patch])
    const path = ['-o', 'jsonpath={.status.state} {.status.model.externalEndpoint}']
    const said = () => plane.kubectl(['get', 'nimservice', 'nim-kserve', '-n', NS, ...path])
    await until(async () => (await said()) === `Ready ${url}`)
    const platform = JSON.stringify({ spec: { inferencePlatform: 'standalone' } })
    await plane.kubectl(['patch', 'nimservice', 'nim-kserve', '-n', NS, '--type=merge', '-p', platform])
    await until(() => exists('deployment', 'nim-kserve'))
    await until(async () => !(await exists('inferenceservice', 'nim-kserve')))
    assert.deepEqual(refused(), [])
  })

  it('take away what is switched off, and what is not there any more', async () => {
    for (const each of withoutOptions(all)) await apply(each)
    const outward = async () =>
      plane.kubectl(['get', 'ingress,httproute,hpa,servicemonitor', '-n', NS, '-o', 'name'])
    await until(async () => (await outward()) === '')
    assert.deepEqual(refused(), [])
  })

  it('hold no right that they neither use nor hand on', async () => {
    const made = JSON.parse(
      await plane.kubectl(['get', 'roles', '-n', NS, '-o', 'json', '--show-managed-fields']),
    ).items as KubeObject[]
    for (const account of new Set(Object.values(ACCOUNTS))) {
      const mine = OPERATORS.filter((name) => ACCOUNTS[name] === account)
      const used = new Set(mine.flatMap((name) => proxies.get(name)?.requests ?? []).flatMap(neededFor))
      const managers = mine.map((name) => `open-nemo-${name}`)
      const granted = made
        .filter((role) => managers.includes(managerOf(role)))
        .flatMap(({ rules }) => [...rightsOf(rules)])
      assert.ok(granted.length > 0, `${account} made no Role`)
      const rules = objects.find((o) => o.kind === 'Role' && o.metadata.name === account)?.rules as Rule[]
      const idle = [...rightsOf(rules)].filter((each) => !used.has(each) && !granted.includes(each))
      assert.deepEqual(
        idle.filter((each) => !isRare(each, used)),
        [],
        account,
      )
    }
  })
})

/** Needed in cases that do not come up here: a cache that lags, what another operator left, an owner that is checked. */
function isRare(right: string, used: Set<string>): boolean {
  const [verb, resource = ''] = right.split(' ')
  if (verb === 'get') return used.has(`watch ${resource}`)
  if (verb === 'delete') return used.has(`create ${resource}`)
  // One that a restarted operator says again is counted up.
  if (right === 'patch events') return true
  return verb === 'update' && used.has(`patch ${resource.replace('/finalizers', '/status')}`)
}

/** How often an operator has planned anything, by its own metrics. */
async function planned(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const counts = [...text.matchAll(/^open_nemo_reconcile_seconds_count\{.*\} (\d+)$/gm)]
  return counts.reduce((sum, [, n]) => sum + Number(n), 0)
}

/** Who wrote an object first. */
const managerOf = ({ metadata }: KubeObject): string =>
  (metadata as { managedFields?: { manager: string }[] }).managedFields?.[0]?.manager ?? ''

const kubeconfig = (server: string) =>
  stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'nobody' } }],
    users: [{ name: 'nobody', user: {} }],
    'current-context': 'c',
  })
