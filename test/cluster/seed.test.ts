// SPDX-License-Identifier: Apache-2.0
// The guide from its first command to its last, in the lab, by Helm 3 and Helm 4, under Pod Security restricted. Argo
// and Volcano are on no package registry: their objects are applied, their pods are skipped by name.
// NEMO_TEST_LAB=<dir> takes a lab that runs, with the images that it has.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ROOT_CLASS } from '../../packages/cli/src/lab/addons.ts'
import { publishedSccs } from '../../packages/cli/src/scc/index.ts'
import { infraChart, render, root } from '../charts/helm.ts'
import { podsOf } from '../charts/pods.ts'
import { ensureEnvironment } from '../conformance/environments.ts'
import { evaluateTuned } from './support/evaluate.ts'
import * as guide from './support/guide.ts'
import { openAccount, type Place, workOn } from './support/place.ts'
import { noLab, openSite, SEED_IMAGES, type Site, until } from './support/site.ts'

const run = promisify(execFile)
const tag = Date.now().toString(36)
/** What cannot be had here. */
const WITHOUT = '--set install.argo=false,install.volcano=false'
const ROOT_VOLUMES = `--set global.storageClass=${ROOT_CLASS}`
const MISSING = guide.INFRA_NAMES.filter((name) => name.includes('argo'))

const first: Place = { ns: `seed-${tag}`, infra: 'nemo-infra', instances: 'nemo-instances' }
const second: Place = { ns: `other-${tag}`, infra: `ground-${tag}`, instances: `works-${tag}` }
const third: Place = { ns: `gitops-${tag}`, infra: 'nemo-infra', instances: 'nemo-instances' }

describe('the guide in the lab', { skip: noLab }, () => {
  let site: Site
  const seconds = (since: number) => ((Date.now() - since) / 1000).toFixed(1)
  const { sh, installSmall, pods, running, show, verify, allRun, prepare } = workOn(() => site)
  const account = openAccount(() => site)
  const { passwords, rememberPasswords, nothingRemains } = account

  /** A step that stands on those before it: after a failure there is nothing to see, and no time to lose. */
  let failed = ''
  const step = (name: string, work: () => Promise<void>) =>
    it(name, async (t) => {
      if (failed) return t.skip(`the step "${failed}" failed`)
      try {
        await work()
      } catch (error) {
        failed = name
        throw error
      }
    })

  before(async () => {
    site = await openSite(SEED_IMAGES)
    // As OpenShift has it: the short name, and a constraint that is there from the start.
    const crd = 'customresourcedefinition/securitycontextconstraints.security.openshift.io'
    const short = JSON.stringify({ spec: { names: { shortNames: ['scc'] } } })
    await site.kubectl('patch', crd, '--type=merge', '-p', short)
    const nonroot = publishedSccs().find(({ metadata }) => metadata.name === 'nonroot')
    const scc = { apiVersion: 'security.openshift.io/v1', kind: 'SecurityContextConstraints', ...nonroot }
    await site.lab.kubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(scc))
    for (const place of [first, second, third]) await prepare(place)
    await account.begin()
  })
  after(async () => {
    for (const { ns } of [first, second, third]) {
      await site?.kubectl('delete', 'namespace', ns, '--ignore-not-found', '--wait=false')
    }
    await site?.close()
  })

  step('step 1: the infrastructure, by Helm 3', async () => {
    const begun = Date.now()
    const install = `cd deploy/nemo-infra
helm dependency update
helm install nemo-infra . \\
  -n <namespace> \\
  --create-namespace ${WITHOUT}`
    await sh(first, install)
    await allRun(first, 600)
    console.log(`nemo-infra runs after ${seconds(begun)} s`)
    const lines = (await sh(first, guide.INFRA_PODS)).trim().split('\n')
    for (const line of lines) assert.match(line, /\s1\/1\s+Running\s/)
    const names = lines.map((line) => line.split(' ')[0] ?? '')
    for (const name of guide.INFRA_NAMES.filter((each) => !MISSING.includes(each))) {
      assert.ok(
        names.some((pod) => pod.startsWith(`${name}-`)),
        name,
      )
    }
    assert.equal(names.length, guide.INFRA_NAMES.length - MISSING.length)
  })

  for (const name of [...MISSING, 'nemo-infra-volcano-scheduler', 'nemo-infra-volcano-controllers']) {
    it(`pod ${name} runs`, { skip: 'its image is on no package registry' }, () => undefined)
  }

  it('with everything on, the pods have all names of the guide', () => {
    const names = podsOf(render(infraChart, { namespace: first.ns })).map((pod) => pod.owner.metadata.name)
    assert.deepEqual(
      guide.INFRA_NAMES.filter((name) => !names.includes(name)),
      [],
    )
  })

  step(
    'Argo and Volcano: their objects are taken twice without a difference, and their pods made',
    async () => {
      const only = '--show-only templates/argo.yaml --show-only templates/volcano.yaml'
      const template = `helm template nemo-infra deploy/nemo-infra -n ${third.ns} ${only}`
      const text =
        await site.shell(`cat deploy/nemo-infra/charts/*/crds/*.yaml | sed 's/^# SPDX/---\\n&/' | oc apply --server-side -f -
${template} > argo-volcano.yaml
oc apply --server-side -n ${third.ns} -f argo-volcano.yaml
oc apply --server-side -n ${third.ns} -f argo-volcano.yaml
oc diff --server-side -n ${third.ns} -f argo-volcano.yaml`)
      assert.doesNotMatch(text, /Warning/)
      await until('four pods are made', 120, async () => (await pods(third)).length === 4)
      await site.shell(`oc delete -n ${third.ns} -f argo-volcano.yaml`)
      await nothingRemains(third)
    },
  )

  step('step 2: Secrets by hand', async () => {
    await sh(first, guide.SECRETS)
    for (const [, name] of guide.SECRETS.matchAll(/secret (?:generic|docker-registry) (\S+)/g))
      passwords.add(`Secret ${first.ns}/${name}`)
  })

  step('step 3: the services, every resource Ready', async () => {
    const begun = Date.now()
    const install = `cd deploy/nemo-instances
helm dependency update
helm install nemo-instances . \\
  -n <namespace> \\
  --set namespace.name=<namespace>`
    await sh(first, install)
    const said = await verify(first)
    assert.match(said, /All is well/)
    console.log(`nemo-instances is Ready after ${seconds(begun)} s`)
    const [services = '', models = '', running = ''] = await Promise.all(
      guide.INSTANCES.map((command) => sh(first, command)),
    )
    for (const text of [services, models]) {
      const rows = text.split('\n').filter((line) => / +/.test(line) && !line.startsWith('NAME'))
      for (const row of rows) assert.match(row, /\sReady\s/)
      assert.equal(rows.length, text === services ? 5 : 3)
    }
    const found = Object.fromEntries(
      running
        .trim()
        .split('\n')
        .map((line) => {
          const [pod = '', ready, status] = line.split(/\s+/)
          assert.equal(status, 'Running', line)
          return [Object.keys(guide.INSTANCE_PODS).find((name) => pod.startsWith(`${name}-`)), ready]
        }),
    )
    assert.deepEqual(found, guide.INSTANCE_PODS)
    await rememberPasswords(first)
  })

  step('PostgreSQL takes the passwords of the guide', async () => {
    const psql = 'psql -h 127.0.0.1 -U evaluser -d evaldb -tAc "SELECT 6 * 7"'
    const exec = `oc exec nemo-infra-evaluator-postgresql-0 -n ${first.ns} -- env PGPASSWORD=evalpass ${psql}`
    assert.equal((await site.shell(exec)).trim(), '42')
  })

  step('nemoctl preflight finds nothing that is missing', async () => {
    assert.match(await site.nemoctl('preflight', '-n', first.ns), /Nothing is missing/)
  })

  step('the flywheel, by the SDK through the Services', async () => {
    const begun = Date.now()
    const urls = {
      entities: await site.forward(first.ns, 'nemoentitystore-sample'),
      data: await site.forward(first.ns, 'nemodatastore-sample'),
      customizer: await site.forward(first.ns, 'nemocustomizer-sample'),
      evaluator: await site.forward(first.ns, 'nemoevaluator-sample'),
      guardrails: await site.forward(first.ns, 'nemoguardrails-sample'),
      nim: await site.forward(first.ns, 'nimpipeline-sample-llm'),
    }
    const python = await ensureEnvironment('sdk-1.5.0')
    const script = join(root, 'test/cluster/support/flywheel.py')
    const { stdout } = await run(python, [script, JSON.stringify(urls)], { timeout: 400_000 })
    const result = JSON.parse(stdout)
    console.log(`the flywheel turned in ${seconds(begun)} s: ${stdout.trim()}`)
    assert.match(result.tuned, /green/)
    assert.match(result.passed, /green/)
    assert.doesNotMatch(result.blocked, /green/)
    assert.ok(result.models.includes(result.model))
    assert.ok(result.f1 > 0.9, `f1 ${result.f1}`)
    const job = await site.kubectl('get', 'nemotrainingjobs', '-n', first.ns, '-o', 'name')
    assert.match(job, /nemotrainingjob/)
    site.stopForwards()
  })

  step('the notebook in Jupyter’s pod, from its first cell to its last', async () => {
    const begun = Date.now()
    const execute = 'jupyter nbconvert --execute --to markdown --stdout flywheel.ipynb'
    const said = await sh(first, `oc exec deploy/jupyter-notebook -n <namespace> -- ${execute}`)
    console.log(`the notebook ran in ${seconds(begun)} s`)
    assert.match(said, /tuned model: flywheel\/departments-/)
    assert.match(said, /blocked: I'm sorry/)
  })

  step('upgrade by Helm 4: only what changed is rolled', async () => {
    const before = await running(first)
    const upgrade = `helm upgrade nemo-infra deploy/nemo-infra -n <namespace> ${WITHOUT} <infra values>
helm upgrade nemo-instances deploy/nemo-instances -n <namespace> --set namespace.name=<namespace> <values>`
    const calm = [
      '--set networkPolicy.metricsFrom[0].podSelector.matchLabels.app=x',
      '--set networkPolicy.egress=true',
    ]
    const apply = (infra: string, values: string) =>
      sh(first, upgrade.replace('<infra values>', infra).replace('<values>', values), 'helm4')
    await apply(calm[0] ?? '', calm[1] ?? '')
    await verify(first)
    assert.deepEqual(await running(first), before, 'a policy rolls no pod')
    await apply(
      `${calm[0]} --set opentelemetry.resources.limits.memory=300Mi`,
      `${calm[1]} --set nemoEvaluator.resources.limits.memory=1100Mi`,
    )
    const isRolled = async () => {
      const now = await running(first)
      const gone = [...before.keys()].filter((name) => !now.has(name))
      return gone.length === 3 && now.size === before.size
    }
    await until('three pods are rolled', 300, isRolled, () => show(first))
    await allRun(first, 300)
    const now = await running(first)
    const rolled = [...before.keys()].filter((name) => !now.has(name)).sort()
    for (const [i, name] of [
      'nemo-infra-customizer-opentelemetry',
      'nemo-infra-evaluator-opentelemetry',
      'nemoevaluator-sample',
    ].entries()) {
      assert.ok(rolled[i]?.startsWith(name), `${rolled}`)
    }
  })

  step('with NEMO_EXECUTOR=kubernetes an evaluation runs in a pod of its own', async () => {
    const isOurs = (name: string) => name.startsWith('nemoevaluator-')
    const before = [...(await running(first)).keys()].filter(isOurs)
    // Empty: there is no Argo here.
    const env = { NEMO_EXECUTOR: 'kubernetes', ARGO_HOST: '', SERVICE_ACCOUNT: '' }
    const added = Object.entries(env).map(([name, value]) => ({
      op: 'add',
      path: '/spec/env/-',
      value: { name, value },
    }))
    const patch = ['--type=json', '-p', JSON.stringify(added)]
    await site.kubectl('patch', 'nemoevaluator', 'nemoevaluator-sample', '-n', first.ns, ...patch)
    const isRolled = async () => {
      const now = [...(await running(first)).keys()].filter(isOurs)
      return now.length > 0 && !now.some((name) => before.includes(name))
    }
    await until('the evaluator is rolled', 120, isRolled, () => show(first))
    await verify(first)
    const evaluator = await site.forward(first.ns, 'nemoevaluator-sample')
    const f1 = await evaluateTuned(evaluator, () => show(first))
    assert.ok(f1 > 0.9, `f1 ${f1}`)
    assert.match(await site.kubectl('get', 'jobs', '-n', first.ns, '-o', 'name'), /nemo-eval-/)
    site.stopForwards()
  })

  step('the node restarts: all comes back, the tuned model too', async () => {
    await site.restart()
    const begun = Date.now()
    await verify(first)
    console.log(`all is well ${seconds(begun)} s after the restart`)
    const nim = await site.forward(first.ns, 'nimpipeline-sample-llm')
    await until('the tuned model is served', 180, async () => {
      const { data } = (await (await fetch(`${nim}/v1/models`)).json()) as { data: { id: string }[] }
      return data.some(({ id }) => id === 'demo/colours-model@v1')
    })
    site.stopForwards()
  })

  step('a second installation, under other names, on volumes that are root’s, by Helm 4', async () => {
    const others = await running(first)
    const begun = Date.now()
    await installSmall(second, ROOT_VOLUMES, 'helm4')
    console.log(`the second installation is Ready after ${seconds(begun)} s`)
    await rememberPasswords(second)
    assert.deepEqual(await running(first), others)
    const entities = await site.forward(second.ns, 'nemoentitystore-sample')
    const made = await fetch(`${entities}/v1/namespaces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'outlives' }),
    })
    assert.equal(made.status, 200)
    site.stopForwards()
  })

  step('the commands about grants and about what is stuck', async () => {
    assert.match(await sh(first, guide.GRANTS), /customizer-scc-nemo-customizer-scc-binding/)
    await sh(first, guide.STUCK)
    await verify(first)
  })

  step('uninstall in the order of the guide leaves what is declared kept', async () => {
    const begun = Date.now()
    await sh(first, 'helm uninstall nemo-instances -n <namespace>\nhelm uninstall nemo-infra -n <namespace>')
    // The other namespace still uses the constraint.
    await nothingRemains(first, /^SecurityContextConstraints \/nemo-customizer-scc$/)
    console.log(`nothing but what is kept remains after ${seconds(begun)} s`)
    await site.kubectl('get', 'scc', 'nemo-customizer-scc')
    await verify(second)
  })

  step(
    'uninstall in the wrong order leaves no more, and the constraint goes with its last user',
    async () => {
      await sh(
        second,
        'helm uninstall <infra> -n <namespace>\nhelm uninstall <instances> -n <namespace>',
        'helm4',
      )
      await nothingRemains(second)
    },
  )

  step('installed again it has its data; uninstalled with the operators scaled to zero', async () => {
    await installSmall(second, ROOT_VOLUMES)
    const entities = await site.forward(second.ns, 'nemoentitystore-sample')
    assert.equal((await fetch(`${entities}/v1/namespaces/outlives`)).status, 200)
    site.stopForwards()
    await sh(
      second,
      `oc scale deployment -n <namespace> --replicas=0 -l app.kubernetes.io/part-of=nemo-instances
oc wait --for=delete pod -n <namespace> -l app.kubernetes.io/part-of=nemo-instances,app.kubernetes.io/name!=secrets --timeout=180s
helm uninstall <instances> -n <namespace>
helm uninstall <infra> -n <namespace>`,
    )
    await nothingRemains(second)
  })

  step('CRDs, then `helm template | kubectl apply` twice: no difference, and all is well', async () => {
    const begun = Date.now()
    const text = await sh(
      third,
      `oc apply --server-side -f deploy/nemo-instances/crds
helm template <infra> deploy/nemo-infra -n <namespace> --no-hooks --set profile=minimal > infra.yaml
helm template <instances> deploy/nemo-instances -n <namespace> --no-hooks -a security.openshift.io/v1 > instances.yaml
for round in 1 2; do for part in infra instances; do oc apply --server-side -n <namespace> -f $part.yaml; done; done
for part in infra instances; do oc diff --server-side -n <namespace> -f $part.yaml; done`,
    )
    assert.doesNotMatch(text, /conflict|Warning/i)
    await verify(third)
    console.log(`by apply all is well after ${seconds(begun)} s`)
    const again = await sh(
      third,
      `for part in infra instances; do oc apply --server-side -n <namespace> -f $part.yaml; oc diff --server-side -n <namespace> -f $part.yaml; done`,
    )
    assert.doesNotMatch(again, /conflict/i)
    await rememberPasswords(third)
    await site.shell(`oc delete -n ${third.ns} -f instances.yaml -f infra.yaml --ignore-not-found`)
    await nothingRemains(third)
  })

  step('the commands of the fallback, by hand', async () => {
    await installSmall(second)
    await sh(second, guide.FALLBACK)
    await nothingRemains(second)
  })

  step('the namespace is deleted with all that is in it, and the constraint with it', async () => {
    await installSmall(second)
    const begun = Date.now()
    await sh(second, 'oc delete namespace <namespace> --timeout=120s')
    console.log(`the namespace is gone after ${seconds(begun)} s`)
    await nothingRemains(second)
  })
})
