// SPDX-License-Identifier: Apache-2.0
// The chart on a real API server with OpenShift's SCC CRD. No pod runs there: what a hook's pod would do is done here,
// with the token of the hook's own ServiceAccount, so that its rights are those that count.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { cleanup } from '../../packages/cli/src/hooks/cleanup.ts'
import { crds } from '../../packages/cli/src/hooks/crds.ts'
import { pgSecrets } from '../../packages/cli/src/hooks/pg-secrets.ts'
import { preflight } from '../../packages/cli/src/hooks/preflight.ts'
import { sccHook } from '../../packages/cli/src/hooks/scc.ts'
import { connect, type Kube } from '../../packages/cli/src/kube/api.ts'
import { type ControlPlane, startControlPlane } from '../../packages/cli/src/lab/index.ts'
import { helms, instancesChart, noHelm, renderText } from '../charts/helm.ts'

const run = promisify(execFile)
const skip = process.platform === 'linux' ? noHelm : 'needs Linux'
/** By its full name: the CRD of older modules of OpenShift gives no short one. */
const SCC = 'securitycontextconstraints'
/** What Helm does not wait for here, since no pod runs. */
const QUIET = ['--set', 'preflight.enabled=false,crds.upgrade=false,scc.owners=false']

/** One Helm of each major version. */
function versions(binaries: string[]): Map<string, string> {
  return new Map(
    binaries.map((file) => [execFileSync(file, ['version', '--short']).toString().slice(1, 2), file]),
  )
}

interface Job {
  spec: {
    template: {
      spec: { serviceAccountName: string; containers: { env: { name: string; value: string }[] }[] }
    }
  }
}

describe('the chart nemo-instances on an API server', { skip }, () => {
  let dir = ''
  let plane: ControlPlane

  /** Under the name `helm`, since Helm 4 names itself by it as the manager of fields. */
  const helm = (args: string[], binary = helms()[0] ?? 'helm') =>
    run(binary, args, { env: { ...process.env, ...plane.env }, argv0: 'helm', timeout: 120_000 } as object)
  const exists = async (what: string[]) =>
    (await plane.kubectl(['get', ...what, '--ignore-not-found', '-o', 'name'])) !== ''
  const until = async (what: string, test: () => Promise<boolean>) => {
    for (let i = 0; i < 120; i++) {
      if (await test()) return
      await sleep(250)
    }
    assert.fail(`${what}: not within 30 s`)
  }

  /** A client that has exactly the rights of a ServiceAccount. */
  const as = async (namespace: string, serviceAccount: string): Promise<Kube> => {
    const token = (await plane.kubectl(['create', 'token', serviceAccount, '-n', namespace])).trim()
    const config = parse(await readFile(plane.kubeconfig, 'utf8'))
    config.users = [{ name: 'sa', user: { token } }]
    for (const { context } of config.contexts) context.user = 'sa'
    const path = join(dir, `${namespace}-${serviceAccount}.yaml`)
    await writeFile(path, stringify(config))
    return connect({ KUBECONFIG: path }, namespace)
  }

  const environment = (job: Job) =>
    Object.fromEntries(
      job.spec.template.spec.containers[0]?.env.map(({ name, value }) => [name, value]) ?? [],
    )

  const getJob = async (namespace: string, name: string) =>
    JSON.parse(await plane.kubectl(['get', 'job', name, '-n', namespace, '-o', 'json'])) as Job

  /** Does what the kubelet would: the pod of a Job ends well. */
  const finish = async (namespace: string, job: string) => {
    const selector = ['-n', namespace, '-l', `job-name=${job}`]
    await until(`pod of ${job}`, () => exists(['pods', ...selector]))
    const name = (await plane.kubectl(['get', 'pods', ...selector, '-o', 'name'])).trim()
    const patch = JSON.stringify({ status: { phase: 'Succeeded' } })
    await plane.kubectl(['patch', name, '-n', namespace, '--subresource=status', '--type=merge', '-p', patch])
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-instances-'))
    plane = await startControlPlane({
      dir: join(dir, 'plane'),
      // On in OpenShift: who changes the owners of an object has to be allowed to delete it.
      admission: ['OwnerReferencesPermissionEnforcement'],
      onProgress: ({ message }) => console.log(message),
    })
    await plane.kubectl(['apply', '--server-side', '-f', join(instancesChart, 'crds')])
  })
  after(async () => {
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  it('CRDs are stored as they are written, so that whoever applies them next meets no conflict', async () => {
    const apply = ['apply', '--server-side', '-f', join(instancesChart, 'crds')]
    await plane.kubectl([...apply, '--field-manager=somebody'])
    assert.equal(await crds({}, await connect({ KUBECONFIG: plane.kubeconfig }, 'default')), 0)
    await plane.kubectl([...apply, '--field-manager=somebody-else'])
  })

  it('is applied without Helm twice and the second time changes nothing, SCC included', async () => {
    await plane.kubectl(['create', 'namespace', 'gitops'])
    const manifests = renderText(instancesChart, {
      release: 'g',
      namespace: 'gitops',
      apiVersions: ['security.openshift.io/v1'],
      args: ['--no-hooks'],
    })
    const versions = async () => {
      const kinds =
        'sa,cm,role,rolebinding,netpol,nemocustomizer,nemodatastore,nemoentitystore,nemoevaluator,nemoguardrail,nimcache,nimpipeline'
      const path = '{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}'
      const namespaced = await plane.kubectl(['get', kinds, '-n', 'gitops', '-o', `jsonpath=${path}`])
      return (
        namespaced +
        (await plane.kubectl([
          'get',
          SCC,
          'nemo-customizer-scc',
          '-o',
          'jsonpath={.metadata.resourceVersion}',
        ]))
      )
    }
    await plane.kubectl(['apply', '--server-side', '-n', 'gitops', '-f', '-'], manifests)
    const first = await versions()
    await plane.kubectl(['apply', '--server-side', '-n', 'gitops', '-f', '-'], manifests)
    assert.equal(await versions(), first)
    await plane.kubectl(['delete', 'namespace', 'gitops', '--wait=false'])
    await plane.kubectl(['delete', SCC, 'nemo-customizer-scc'])
  })

  it("the hooks' rights suffice for what the hooks do, and pg-secrets' for no other Secret", async () => {
    await plane.kubectl(['create', 'namespace', 'rights'])
    const args = { release: 'r', namespace: 'rights', apiVersions: ['security.openshift.io/v1'] }
    await plane.kubectl(
      ['apply', '--server-side', '-n', 'rights', '-f', '-'],
      renderText(instancesChart, args),
    )
    for (const part of ['customizer', 'datastore', 'entity-store', 'evaluator', 'guardrail']) {
      const name = `nemo-infra-${part}-postgresql`
      await plane.kubectl(['create', 'service', 'clusterip', name, '--tcp=5432', '-n', 'rights'])
      await plane.kubectl([
        'create',
        'secret',
        'generic',
        name,
        `--from-literal=password=of ${part}`,
        '-n',
        'rights',
      ])
    }
    await plane.kubectl([
      'create',
      'secret',
      'generic',
      'evaluator-pg-existing-secret',
      '--from-literal=password=mine',
      '-n',
      'rights',
    ])
    const look = await getJob('rights', 'r-preflight')
    const checked = { ...environment(look), TERMINATION_LOG: join(dir, 'log') }
    // The one thing missing here is a node, and a storage class.
    assert.equal(await preflight(checked, await as('rights', 'r-preflight')), 1)
    const said = await readFile(join(dir, 'log'), 'utf8')
    assert.match(said, /no default storage class/)
    assert.doesNotMatch(said, /postgresql|Forbidden|cannot/)
    assert.equal(await crds({}, await as('rights', 'r-crds')), 0)
    const owner = await getJob('rights', 'r-scc')
    assert.equal(await sccHook(environment(owner), await as('rights', 'r-scc')), 0)
    const owners = 'jsonpath={.metadata.ownerReferences[*].name}'
    assert.match(await plane.kubectl(['get', SCC, 'nemo-customizer-scc', '-o', owners]), /\brights\b/)
    const [name = ''] = (
      await plane.kubectl([
        'get',
        'jobs',
        '-n',
        'rights',
        '-o',
        'name',
        '-l',
        'app.kubernetes.io/name=secrets',
      ])
    )
      .trim()
      .split('\n')
    const maker = await as('rights', 'r-secrets')
    const env = environment(await getJob('rights', name.replace('job.batch/', '')))
    assert.equal(await pgSecrets({ ...env, TIMEOUT_SECONDS: '0' }, maker), 0)
    const password = async (secret: string) => {
      const data = await plane.kubectl([
        'get',
        'secret',
        secret,
        '-n',
        'rights',
        '-o',
        'jsonpath={.data.password}',
      ])
      return Buffer.from(data, 'base64').toString('utf8')
    }
    assert.equal(await password('customizer-pg-existing-secret'), 'of customizer')
    assert.equal(await password('evaluator-pg-existing-secret'), 'mine')
    await assert.rejects(maker.list({ apiVersion: 'v1', plural: 'secrets' }), /forbidden/)
    // Not being uninstalled: the cleanup that was applied by hand deletes nothing.
    const clean = environment(await getJob('rights', 'r-cleanup'))
    assert.equal(await cleanup(clean, await as('rights', 'r-cleanup')), 0)
    assert.ok(await exists(['nemocustomizer', 'nemocustomizer-sample', '-n', 'rights']))
    // The token goes with its owner.
    assert.ok(await exists(['secret', 'nemo-internal-token', '-n', 'rights']))
    await plane.kubectl(['delete', 'configmap', 'nemo-samples-operator-defaults', '-n', 'rights'])
    await until(
      'the token goes',
      async () => !(await exists(['secret', 'nemo-internal-token', '-n', 'rights'])),
    )
    await plane.kubectl(['delete', 'namespace', 'rights', '--wait=false'])
    await plane.kubectl(['delete', SCC, 'nemo-customizer-scc'])
  })

  it('an operator may grant what the contract says, and no more than it holds', async () => {
    await plane.kubectl(['create', 'namespace', 'grants'])
    await helm(['install', 'r', instancesChart, '-n', 'grants', ...QUIET])
    const operator = await as('grants', 'nemo-samples-nemo-operator-controller-manager')
    const roles = { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'roles' }
    const role = (name: string, rules: object[]) => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name },
      rules,
    })
    const all = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']
    const customizer = [
      {
        apiGroups: ['security.openshift.io'],
        resources: ['securitycontextconstraints'],
        resourceNames: ['nonroot'],
        verbs: ['use'],
      },
      { apiGroups: ['batch'], resources: ['jobs'], verbs: all },
      { apiGroups: ['nvidia.com'], resources: ['nemotrainingjobs', 'nemotrainingjobs/status'], verbs: all },
      {
        apiGroups: [''],
        resources: ['pods', 'services', 'configmaps'],
        verbs: ['create', 'get', 'list', 'watch', 'delete'],
      },
    ]
    assert.ok(await operator.create(roles, role('nemocustomizer-sample', customizer)))
    const greedy = [{ apiGroups: [''], resources: ['pods/exec'], verbs: ['create'] }]
    await assert.rejects(operator.create(roles, role('greedy', greedy)), /attempting to grant/)
    await plane.kubectl(['delete', 'namespace', 'grants', '--wait=false'])
    await plane.kubectl(['delete', SCC, 'nemo-customizer-scc'])
  })

  for (const [version, binary] of skip ? [] : versions(helms())) {
    it(`Helm ${version}: install, upgrade, a second namespace, uninstall with the operators dead`, async () => {
      // Namespaces of the tests before are still going.
      await until('other bindings go', async () => {
        const all = await plane.kubectl(['get', 'rolebindings', '-A', '-o', 'name'])
        return !all.includes('nemo-customizer-scc')
      })
      const begun = Date.now()
      const [a, b] = [`first-${begun}`, `second-${begun}`]
      for (const ns of [a, b]) {
        await helm(['install', 'r', instancesChart, '-n', ns, '--create-namespace', ...QUIET], binary)
      }
      await helm(['upgrade', 'r', instancesChart, '-n', a, ...QUIET, '--set', `namespace.name=${a}`], binary)
      // The operators are dead, and NVIDIA's put a finalizer on one resource.
      const finalizer = JSON.stringify({ metadata: { finalizers: ['finalizer.nimcache.apps.nvidia.com'] } })
      await plane.kubectl(['patch', 'nimcache', 'nimcache-sample', '-n', a, '--type=merge', '-p', finalizer])
      const uninstall = async (ns: string) => {
        const done = helm(['uninstall', 'r', '-n', ns, '--timeout', '60s'], binary)
        done.catch(() => undefined)
        await until('the hook', () => exists(['job', 'r-cleanup', '-n', ns]))
        const env = { ...environment(await getJob(ns, 'r-cleanup')), GRACE_SECONDS: '1' }
        assert.equal(await cleanup(env, await as(ns, 'r-cleanup')), 0)
        for (const kind of ['nimcache', 'nemocustomizer', 'nimpipeline']) {
          assert.ok(!(await exists([kind, '-n', ns])), `${kind} is still there`)
        }
        await finish(ns, 'r-cleanup')
        await done
      }
      await uninstall(a)
      assert.ok(await exists([SCC, 'nemo-customizer-scc']), 'the second namespace still uses the constraint')
      await uninstall(b)
      assert.ok(!(await exists([SCC, 'nemo-customizer-scc'])))
      for (const ns of [a, b]) {
        const kinds = 'deploy,job,sa,role,rolebinding,cm,secret,netpol,svc,pvc'
        await until('the rest goes', async () => {
          const left = (await plane.kubectl(['get', kinds, '-n', ns, '-o', 'name']))
            .trim()
            .split('\n')
            .filter(Boolean)
          return left.sort().join() === 'configmap/kube-root-ca.crt,serviceaccount/default'
        })
      }
      const cluster = await plane.kubectl(['get', 'clusterrole,clusterrolebinding', '-o', 'name'])
      const left = cluster.split('\n').filter((name) => name.includes(a) || name.includes(b))
      assert.deepEqual(left, [])
    })
  }

  it('a release of Helm 3 is upgraded by Helm 4, and by server-side apply', async (t) => {
    const binaries = versions(helms())
    const [three, four] = [binaries.get('3'), binaries.get('4')]
    if (!three || !four) return t.skip('needs Helm 3 and Helm 4')
    const upgrade = [
      'upgrade',
      'r',
      instancesChart,
      '-n',
      'moved',
      ...QUIET,
      '--set',
      'nemoEvaluator.enabled=false',
    ]
    await helm(['install', 'r', instancesChart, '-n', 'moved', '--create-namespace', ...QUIET], three)
    // What the operators write is theirs.
    const status = JSON.stringify({ status: { state: 'Ready' } })
    const merge = ['--subresource=status', '--type=merge', '-p', status]
    await plane.kubectl(['patch', 'nimpipeline', 'nimpipeline-sample', '-n', 'moved', ...merge])
    await helm(upgrade, four)
    await helm([...upgrade, '--server-side=true', '--force-conflicts'], four)
    await helm([...upgrade, '--set', 'operators.logLevel=debug', '--server-side=true'], four)
    assert.ok(!(await exists(['nemoevaluator', 'nemoevaluator-sample', '-n', 'moved'])))
    const state = [
      'get',
      'nimpipeline',
      'nimpipeline-sample',
      '-n',
      'moved',
      '-o',
      'jsonpath={.status.state}',
    ]
    assert.equal(await plane.kubectl(state), 'Ready')
  })

  it("README's commands that need no running pod work as they are written", async () => {
    const readme = await readFile(join(instancesChart, 'README.md'), 'utf8')
    const commands = [...readme.matchAll(/^```bash\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
      block.trim().split('\n'),
    )
    // Those of nemoctl and of the pods' logs are run where pods run; without pods Helm would wait for its hooks.
    const needPods = /^nemoctl|^kubectl logs|^helm uninstall/
    assert.equal(
      commands.filter((command) => needPods.test(command)).length,
      5,
      'a new command: can it be run here?',
    )
    const bin = join(dir, 'bin')
    await mkdir(bin)
    await symlink(helms()[0] ?? 'helm', join(bin, 'helm'))
    const env = { ...process.env, ...plane.env, PATH: `${bin}:${plane.env.PATH}`, NGC_API_KEY: 'key' }
    await plane.kubectl(['create', 'namespace', 'docs'])
    await plane.kubectl(['create', 'namespace', 'docs-gitops'])
    for (const command of commands) {
      if (needPods.test(command) || command.startsWith('cd ')) continue
      const text = command
        .replaceAll('<namespace>', command.includes('kubectl apply') ? 'docs-gitops' : 'docs')
        .replaceAll('<password>', 'a-password')
        .replace(/^helm (install|upgrade) .*/, (all) => `${all} --no-hooks`)
      await run('bash', ['-euo', 'pipefail', '-c', text], { cwd: instancesChart, env })
    }
    await run('helm', ['uninstall', 'nemo-instances', '-n', 'docs', '--no-hooks'], { env })
    const left = await plane.kubectl(['get', 'deploy,nemocustomizer,nimcache', '-n', 'docs', '-o', 'name'])
    assert.equal(left, '')
  })
})
