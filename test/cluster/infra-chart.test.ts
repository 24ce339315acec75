// SPDX-License-Identifier: Apache-2.0
// deploy/nemo-infra on a real API server whose namespaces enforce Pod Security `restricted`. There are no nodes: what is
// shown is that every object is accepted, that every controller gets its pods made, and what an upgrade changes.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Secrets } from '../../packages/cli/src/hooks/cluster.ts'
import { ensureSecrets } from '../../packages/cli/src/hooks/passwords.ts'
import { type ControlPlane, ensureTools, startControlPlane } from '../../packages/cli/src/lab/index.ts'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { infraChart, type KubeObject, render, renderText } from '../charts/helm.ts'
import { podsOf } from '../charts/pods.ts'

interface Listed {
  items: KubeObject[]
}

const KINDS =
  'deployments,statefulsets,jobs,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies'

describe('nemo-infra on an API server', {
  skip: process.platform === 'linux' ? false : 'needs Linux',
}, () => {
  let dir = ''
  let plane: ControlPlane
  let helm3 = ''
  let helm4 = ''

  const helm = (program: string, args: string[]) =>
    execFileSync(program, args, {
      env: { ...process.env, ...plane.env },
      cwd: infraChart,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const list = async (kinds: string, namespace: string): Promise<KubeObject[]> =>
    (JSON.parse(await plane.kubectl(['get', kinds, '-n', namespace, '-o', 'json'])) as Listed).items
  const strict = async (namespace: string) => {
    await plane.kubectl(['create', 'namespace', namespace])
    await plane.kubectl(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted'])
  }
  const applyCrds = async () => {
    const crds = execFileSync('sh', ['-c', 'cat charts/*/crds/*.yaml'], { cwd: infraChart, encoding: 'utf8' })
    const separate = crds.replaceAll(/^# SPDX/gm, '---\n# SPDX')
    await plane.kubectl(['apply', '--server-side', '-f', '-'], separate)
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-infra-'))
    const onProgress = ({ message }: { message: string }) => console.log(message)
    const tools = await ensureTools(cacheDir(), ['helm3', 'helm4'], onProgress)
    helm3 = tools.helm3
    helm4 = tools.helm4
    plane = await startControlPlane({ dir, onProgress })
  })
  after(async () => {
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  it('is taken by server-side apply under Pod Security restricted, and a second time without a difference', async () => {
    await strict('gitops')
    await applyCrds()
    const manifests = renderText(infraChart, { helm: helm3, namespace: 'gitops', args: ['--no-hooks'] })
    const apply = () => plane.kubectl(['apply', '--server-side', '-n', 'gitops', '-f', '-'], manifests)
    assert.doesNotMatch(await apply(), /Warning/i)
    await apply()
    const diff = spawnSync(join(plane.bin, 'kubectl'), ['diff', '--server-side', '-n', 'gitops', '-f', '-'], {
      input: manifests,
      env: { ...process.env, ...plane.env },
      encoding: 'utf8',
    })
    assert.equal(diff.status, 0, diff.stdout + diff.stderr)
  })

  it('gets a pod made for every workload: Pod Security refuses none', async () => {
    const workloads = podsOf(render(infraChart, { namespace: 'gitops' }))
    for (let waited = 0; waited < 30_000; waited += 500) {
      if ((await list('pods', 'gitops')).length >= workloads.length) break
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    const events = await list('events', 'gitops')
    // A controller that is ahead of its cache makes a volume claim twice, and goes on.
    const refusals = events
      .filter((event) => event.reason === 'FailedCreate' && !/already exists/.test(event.message))
      .map((event) => event.message)
    assert.deepEqual(refusals, [])
    assert.equal((await list('pods', 'gitops')).length, workloads.length)
  })

  it('makes passwords with the rights of its Job and no others', async () => {
    const as = '--as=system:serviceaccount:gitops:nemo-infra-passwords'
    const secrets: Secrets = {
      read: async (name) => {
        const args = ['get', 'secret', name, '-n', 'gitops', '-o', 'json', '--ignore-not-found', as]
        const text = await plane.kubectl(args)
        return text ? JSON.parse(text) : undefined
      },
      create: async (secret) => {
        await plane.kubectl(['create', '-n', 'gitops', '-f', '-', as], JSON.stringify(secret))
        return true
      },
    }
    const job = render(infraChart, { namespace: 'gitops' }).find((object) => object.kind === 'Job')
    const env = Object.fromEntries(
      job?.spec.template.spec.containers[0].env.map((e: { name: string; value: string }) => [
        e.name,
        e.value,
      ]),
    )
    const wanted = JSON.parse(env.SECRETS).map((secret: object) => ({ values: {}, ...secret }))
    const made = await ensureSecrets(secrets, wanted, JSON.parse(env.LABELS))
    assert.equal(made.filter((line) => line.endsWith(': made')).length, 8)
    const again = await ensureSecrets(secrets, wanted, {})
    assert.equal(again.filter((line) => line.endsWith('left as it is')).length, 8)
    await plane.kubectl(['create', 'secret', 'generic', 'other', '-n', 'gitops', '--from-literal=a=b'])
    await assert.rejects(secrets.read('other'), /forbidden/)
    const change = ['patch', 'secret', 'nemo-infra-minio', '-n', 'gitops', '-p', '{"data":null}', as]
    await assert.rejects(plane.kubectl(change), /forbidden/)
  })

  it('is installed by Helm 3 over the CRDs of somebody else, and upgraded by Helm 4: only what changed rolls', async () => {
    await strict('helm')
    helm(helm3, ['install', 'nemo-infra', '.', '-n', 'helm', '--set', 'install.volcano=false'])
    const generations = async () =>
      Object.fromEntries(
        (await list('deployments,statefulsets', 'helm')).map(({ kind, metadata }) => [
          `${kind}/${metadata.name}`,
          (metadata as { generation?: number }).generation,
        ]),
      )
    const first = await generations()
    helm(helm4, ['upgrade', 'nemo-infra', '.', '-n', 'helm', '--set', 'install.volcano=false'])
    assert.deepEqual(await generations(), first, 'an upgrade without a change rolls pods')
    const more = ['--set', 'install.volcano=false', '--set', 'milvus.resources.limits.memory=5Gi']
    helm(helm4, ['upgrade', 'nemo-infra', '.', '-n', 'helm', ...more])
    const later = await generations()
    const rolled = Object.keys(first).filter((id) => later[id] !== first[id])
    assert.deepEqual(rolled, ['Deployment/nemo-infra-evaluator-milvus-standalone'])
    helm(helm4, ['upgrade', 'nemo-infra', '.', '-n', 'helm', ...more, '--set', 'networkPolicy.egress=true'])
    assert.deepEqual(await generations(), later, 'a policy rolls pods')
  })

  it('two releases live beside each other, and each goes without the other', async () => {
    await strict('second')
    helm(helm4, ['install', 'other', '.', '-n', 'second'])
    const before = await list(KINDS, 'helm')
    helm(helm4, ['uninstall', 'other', '-n', 'second', '--wait'])
    assert.deepEqual(
      (await list(KINDS, 'helm')).map((o) => `${o.kind}/${o.metadata.name}`),
      before.map((o) => `${o.kind}/${o.metadata.name}`),
    )
    helm(helm3, ['uninstall', 'nemo-infra', '-n', 'helm'])
    for (const [namespace, release] of [
      ['helm', 'nemo-infra'],
      ['second', 'other'],
    ] as const) {
      const left = (await list(`${KINDS},secrets`, namespace)).map((o) => `${o.kind}/${o.metadata.name}`)
      assert.deepEqual(left, ['ConfigMap/kube-root-ca.crt', 'ServiceAccount/default'], release)
      const claims = (await list('persistentvolumeclaims', namespace)).map((o) => o.metadata.name)
      assert.ok(claims.length >= 3, `the volumes of ${release} stay`)
    }
    const cluster = JSON.parse(
      await plane.kubectl([
        'get',
        'clusterroles,clusterrolebindings',
        '-l',
        'component=volcano',
        '-o',
        'json',
      ]),
    ) as Listed
    assert.deepEqual(
      cluster.items.filter((object) => !object.metadata.name.startsWith('gitops-')),
      [],
    )
  })

  it("README's commands that need no running pod work as they are written", async () => {
    await strict('docs')
    await strict('docs-gitops')
    const readme = await readFile(join(infraChart, 'README.md'), 'utf8')
    const commands = [...readme.matchAll(/^```bash\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
      block.trim().split('\n'),
    )
    // What these do needs a pod that runs, or is the version that the reader moves to.
    const needPods = /^kubectl (exec|wait|logs|port-forward)|=<new>/
    const skipped = commands.filter((command) => needPods.test(command))
    assert.equal(skipped.length, 5, 'a new command in README.md: can it be run here?')
    const bin = join(dir, 'bin')
    // A copy, so that nothing is written into the checkout.
    const chart = join(dir, 'deploy/nemo-infra')
    await cp(infraChart, chart, { recursive: true })
    execFileSync('ln', ['-sf', helm4, join(bin, 'helm')])
    for (const command of commands) {
      if (needPods.test(command) || command.startsWith('cd ')) continue
      // Two ways to install it: a namespace each.
      const namespace = command.includes('kubectl apply') ? 'docs-gitops' : 'docs'
      const text = command.replaceAll('<namespace>', namespace)
      const options = { cwd: chart, env: { ...process.env, ...plane.env }, encoding: 'utf8' } as const
      const bash = () => spawnSync('bash', ['-euo', 'pipefail', '-c', text], options)
      let result = bash()
      // `describe` lists, then gets: a pod that a rollout replaced in between is no fault of the command.
      for (let i = 0; i < 5 && /pods ".*" not found/.test(result.stderr); i++) result = bash()
      assert.equal(result.status, 0, `${text}\n${result.stderr}`)
    }
    assert.deepEqual(await list('persistentvolumeclaims', 'docs'), [])
  })
})
