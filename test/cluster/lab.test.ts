// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Lab,
  labDown,
  labOwner,
  labRemains,
  labStatus,
  labUp,
} from '../../packages/cli/src/lab/index.ts'

const cacheDir =
  process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
const reason =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'needs Linux and root'
    : (await labOwner())
      ? 'a lab runs on this machine'
      : false

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
}
const claim = (name: string, storageClassName: string) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace: 'trial' },
  spec: { storageClassName, accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } },
})
const pod = (name: string, script: string, spec: object = {}, claims: string[] = []) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'trial' },
  spec: {
    restartPolicy: 'Never',
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 12345,
      seccompProfile: { type: 'RuntimeDefault' },
      ...spec,
    },
    containers: [
      {
        name: 'main',
        image: 'localhost/nemo-lab/busybox:1',
        command: ['sh', '-c', script],
        securityContext: RESTRICTED,
        volumeMounts: claims.map((each) => ({ name: each, mountPath: `/${each}` })),
      },
    ],
    volumes: claims.map((each) => ({ name: each, persistentVolumeClaim: { claimName: each } })),
  },
})

describe('the lab', { skip: reason }, () => {
  let dir = ''
  let lab: Lab
  const forwarding = () => readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')
  let forwardingBefore = ''

  const apply = (...items: object[]) =>
    lab.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  /** Applies a pod, waits until it has ended well, and gives what it printed. */
  const run = async (made: ReturnType<typeof pod>, ...others: object[]) => {
    await apply(...others, made)
    const name = `pod/${made.metadata.name}`
    await ended(name)
    const printed = await lab.kubectl(['logs', '-n', 'trial', name])
    assert.equal(await phase(name), 'Succeeded', printed)
    return printed
  }
  const phase = (name: string) => lab.kubectl(['get', '-n', 'trial', name, '-o', 'jsonpath={.status.phase}'])
  const ended = async (name: string) => {
    for (const end = Date.now() + 120_000; !/Succeeded|Failed/.test(await phase(name)); ) {
      if (Date.now() > end) assert.fail(await lab.kubectl(['describe', '-n', 'trial', name]))
      await sleep(500)
    }
  }
  /** Applies a pod and waits until it has failed. */
  const fails = async (made: ReturnType<typeof pod>, ...others: object[]) => {
    await apply(...others, made)
    await ended(`pod/${made.metadata.name}`)
    assert.equal(await phase(`pod/${made.metadata.name}`), 'Failed')
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-lab-'))
    forwardingBefore = await forwarding()
    const begun = Date.now()
    lab = await labUp({ dir, cacheDir, onProgress: ({ message }) => console.log(message) })
    console.log(`up after ${(Date.now() - begun) / 1000} s`)
    await apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'trial', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    })
    await lab.kubectl(['wait', '--for=create', 'serviceaccount/default', '-n', 'trial', '--timeout=30s'])
  })
  after(async () => {
    if (dir) await labDown({ dir, wipe: true })
    await rm(dir, { recursive: true, force: true })
  })

  it('has one node, Ready', async () => {
    const path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    assert.equal(await lab.kubectl(['get', 'nodes', '-o', `jsonpath=${path}`]), 'True')
  })

  it('runs a pod under restricted, and refuses one that asks for more', async () => {
    assert.match(await run(pod('plain', 'id -u; echo from the pod')), /^12345\nfrom the pod/)
    const privileged = { ...pod('more', 'true') }
    privileged.spec.containers[0] = {
      ...(privileged.spec.containers[0] as object),
      securityContext: {},
    } as never
    await assert.rejects(apply(privileged), /violates PodSecurity "restricted/)
  })

  it('resolves Services and nothing outside', async () => {
    assert.match(
      await run(pod('dns', 'nslookup kubernetes.default.svc.cluster.local')),
      /Address: 10\.96\.0\.1/,
    )
    await fails(pod('outside', 'nslookup example.com'))
  })

  it('makes volumes: one class for everybody, one that only fsGroup opens', async () => {
    const open = claim('open', 'local-path')
    assert.match(await run(pod('writes', 'touch /open/x && echo done', {}, ['open']), open), /done/)
    const closed = claim('closed', 'local-path-root')
    await fails(pod('denied', 'touch /closed/x', {}, ['closed']), closed)
    const script = 'touch /closed/x && stat -c %g /closed/x'
    assert.match(await run(pod('allowed', script, { fsGroup: 777 }, ['closed'])), /^777/)
  })

  it('fails at once for an image that is not there', async () => {
    const missing = pod('missing', 'true')
    missing.spec.containers[0] = { ...missing.spec.containers[0], image: 'registry.example/none:1' } as never
    await apply(missing)
    const path = 'jsonpath={.status.containerStatuses[0].state.waiting.reason}'
    const wait = ['wait', '-n', 'trial', 'pod/missing', `--for=${path}=ErrImagePull`, '--timeout=120s']
    await lab.kubectl(wait)
  })

  it('runs exec and finds helm of both versions', async () => {
    await apply(pod('sleeps', 'sleep 600'))
    await lab.kubectl(['wait', '-n', 'trial', 'pod/sleeps', '--for=condition=Ready', '--timeout=120s'])
    assert.equal(await lab.kubectl(['exec', '-n', 'trial', 'sleeps', '--', 'echo', 'here']), 'here\n')
    for (const [name, version] of [
      ['helm3', /v3\.22/],
      ['helm4', /v4\.3/],
    ] as const) {
      assert.match(execFileSync(join(lab.bin, name), ['version'], { encoding: 'utf8' }), version)
    }
  })

  it('up again changes nothing; down and up keep the state', async () => {
    const uid = () => lab.kubectl(['get', 'pod', 'sleeps', '-n', 'trial', '-o', 'jsonpath={.metadata.uid}'])
    const first = await uid()
    lab = await labUp({ dir, cacheDir })
    assert.equal(await uid(), first)
    await labDown({ dir })
    await labDown({ dir })
    assert.deepEqual(await labRemains(dir), [])
    assert.ok(Object.values((await labStatus(dir)).processes).every((runs) => !runs))
    const begun = Date.now()
    lab = await labUp({ dir, cacheDir })
    console.log(`up again after ${(Date.now() - begun) / 1000} s`)
    assert.equal(await uid(), first)
    assert.match(await run(pod('later', 'nslookup kubernetes.default.svc.cluster.local')), /10\.96\.0\.1/)
  })

  it('down leaves nothing: no process, mount, link, rule, control group or folder', async () => {
    await labDown({ dir, wipe: true })
    assert.deepEqual(await labRemains(dir), [])
    assert.equal(await forwarding(), forwardingBefore)
  })
})
