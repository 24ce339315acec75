// SPDX-License-Identifier: Apache-2.0
// deploy/nemo-infra with its real software in the lab: everything but Argo and Volcano, whose images are on no package
// registry. Volumes are root's own (0755), as most CSI drivers make them. `NEMO_TEST_LAB=<dir>` takes
// a lab that runs, with the images that it has.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { LAB_IMAGES, OWN_IMAGES } from '../../packages/cli/src/images/definitions/index.ts'
import { ROOT_CLASS } from '../../packages/cli/src/lab/addons.ts'
import { ensureTools, type Lab, labDown, labUp } from '../../packages/cli/src/lab/index.ts'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { infraChart } from '../charts/helm.ts'
import { INFRA_NAMES } from './support/guide.ts'
import { noLab } from './support/site.ts'

const given = process.env.NEMO_TEST_LAB
/** The pods of the guide but those of Argo, which are skipped, since their images cannot be had. */
const GUIDE = INFRA_NAMES.filter((name) => !name.includes('-argo-'))
/** Every port that a Service offers, as the notebook reaches it. */
const PORTS = [
  ...['customizer', 'datastore', 'entity-store', 'evaluator', 'guardrail'].map(
    (x) => [`nemo-infra-${x}-postgresql`, 5432] as const,
  ),
  ['nemo-infra-customizer-mlflow-tracking', 80],
  ['nemo-infra-customizer-mlflow-tracking', 5000],
  ['nemo-infra-minio', 9000],
  ['nemo-infra-minio', 9001],
  ['nemo-infra-evaluator-milvus', 19530],
  ['nemo-infra-customizer-opentelemetry', 4317],
  ['nemo-infra-evaluator-opentelemetry', 4318],
] as const

const NAMESPACE = 'infra-lab'
const WITHOUT = [
  '--set',
  'install.argo=false,install.volcano=false',
  '--set',
  `global.storageClass=${ROOT_CLASS}`,
]
/** All 95 but the newline that is none: shells, SQL and URLs each mind some of them. */
const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')

describe('nemo-infra in the lab', { skip: noLab }, () => {
  let dir = ''
  let lab: Lab
  let helm = ''
  const onProgress = ({ message }: { message: string }) => console.log(message)

  const runHelm = (...args: string[]) =>
    execFileSync(helm, [...args, '-n', NAMESPACE], {
      cwd: infraChart,
      env: { ...process.env, ...lab.env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const kubectl = (...args: string[]) => lab.kubectl(['-n', NAMESPACE, ...args])
  const waitReady = (seconds: number) =>
    kubectl(
      'wait',
      '--for=condition=Ready',
      'pod',
      '-l',
      'app.kubernetes.io/instance=nemo-infra,app.kubernetes.io/name!=passwords',
      `--timeout=${seconds}s`,
    )
  const install = async () => {
    runHelm('install', 'nemo-infra', '.', ...WITHOUT)
    // StatefulSets and Deployments make their pods a moment after Helm has returned.
    for (const kind of ['statefulset', 'deployment']) {
      await kubectl('wait', kind, '--all', '--for=jsonpath={.status.replicas}=1', '--timeout=120s')
    }
    await waitReady(600)
  }
  const password = async (name: string) => {
    const text = await kubectl('get', 'secret', name, '-o', 'jsonpath={.data.password}')
    return Buffer.from(text, 'base64').toString()
  }
  /** Whether a role gets in over the network with this password. */
  const logsIn = async (pod: string, role: string, database: string, word: string) => {
    const psql = ['psql', '-h', '127.0.0.1', '-U', role, '-d', database, '-tAc', 'SELECT 6 * 7']
    try {
      return (await kubectl('exec', pod, '--', 'env', `PGPASSWORD=${word}`, ...psql)).trim() === '42'
    } catch {
      return false
    }
  }

  const importImages = async () => {
    for (const name of ['services', 'mlflow', 'jupyter', 'minio', 'postgres', 'milvus', 'otel-collector']) {
      const definition = { ...OWN_IMAGES, ...LAB_IMAGES }[name]
      assert.ok(definition, name)
      await lab.importImages([await definition({ cacheDir: cacheDir() })])
    }
  }

  before(async () => {
    helm = (await ensureTools(cacheDir(), ['helm3'], onProgress)).helm3
    dir = given ?? (await mkdtemp('/tmp/nemo-lab-'))
    lab = await labUp({ dir, cacheDir: cacheDir(), onProgress })
    if (!given) await importImages()
    await lab.kubectl(['create', 'namespace', NAMESPACE])
    await lab.kubectl(['label', 'namespace', NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted'])
  })
  after(async () => {
    await lab?.kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found'])
    if (given) return
    await labDown({ dir, wipe: true })
    await rm(dir, { recursive: true, force: true })
  })

  it('every pod of the guide runs on volumes that are root’s', async () => {
    const begun = Date.now()
    await install()
    console.log(`nemo-infra is ready after ${((Date.now() - begun) / 1000).toFixed(1)} s`)
    const pods = JSON.parse(await kubectl('get', 'pods', '-o', 'json')).items
    const names = pods
      .filter((pod: { status: { phase: string } }) => pod.status.phase === 'Running')
      .map((pod: { metadata: { name: string } }) => pod.metadata.name)
    for (const name of GUIDE)
      assert.ok(
        names.some((pod: string) => pod.startsWith(`${name}-`)),
        name,
      )
    const restarts = pods.flatMap(
      (pod: { status: { containerStatuses: { restartCount: number; name: string }[] } }) =>
        pod.status.containerStatuses.filter((c) => c.restartCount > 3).map((c) => c.name),
    )
    assert.deepEqual(restarts, [])
  })

  it('every service answers where the notebook looks for it', async () => {
    const code = `import json, socket, sys
closed = []
for host, port in json.loads(sys.argv[1]):
    try: socket.create_connection((host, port), 5).close()
    except OSError as error: closed.append(f"{host}:{port} {error}")
print(json.dumps(closed))`
    const exec = ['exec', 'deploy/jupyter-notebook', '--', 'python3', '-c']
    assert.deepEqual(JSON.parse(await kubectl(...exec, code, JSON.stringify(PORTS))), [])
    const health = `import urllib.request as r
print(r.urlopen("http://nemo-infra-customizer-mlflow-tracking/health").read().decode())`
    assert.match(await kubectl(...exec, health), /OK/)
  })

  it('a password made by hand wins, whatever it holds', async () => {
    const pod = 'nemo-infra-customizer-postgresql-0'
    assert.ok(await logsIn(pod, 'ncsuser', 'ncsdb', await password('nemo-infra-customizer-postgresql')))
    const name = 'customizer-pg-existing-secret'
    await kubectl('create', 'secret', 'generic', name, `--from-literal=password=${PRINTABLE}`)
    const begun = Date.now()
    while (!(await logsIn(pod, 'ncsuser', 'ncsdb', PRINTABLE))) {
      assert.ok(Date.now() - begun < 180_000, 'the kubelet brings a change within about a minute')
      await sleep(2000)
    }
    assert.equal(
      await logsIn(pod, 'ncsuser', 'ncsdb', await password('nemo-infra-customizer-postgresql')),
      false,
    )
  })

  it('volumes outlive the release, and take new passwords when the Secrets are gone', async () => {
    const old = await password('nemo-infra-evaluator-postgresql')
    runHelm('uninstall', 'nemo-infra', '--wait')
    const kept = await kubectl('get', 'secret', '-o', 'name')
    assert.match(kept, /nemo-infra-evaluator-postgresql/)
    await kubectl('delete', 'secret', '--all')
    await kubectl('wait', '--for=delete', 'pod', '--all', '--timeout=300s')
    await install()
    const fresh = await password('nemo-infra-evaluator-postgresql')
    assert.notEqual(fresh, old)
    const pod = 'nemo-infra-evaluator-postgresql-0'
    assert.equal(await logsIn(pod, 'evaluser', 'evaldb', fresh), true)
    assert.equal(await logsIn(pod, 'evaluser', 'evaldb', old), false)
  })

  it('PostgreSQL refuses the data of another major version and says the way out', async () => {
    const pod = 'nemo-infra-guardrail-postgresql-0'
    const write = 'echo 9 > /var/lib/postgresql/data/pgdata/PG_VERSION'
    await kubectl('exec', pod, '--', 'bash', '-c', write)
    await kubectl('delete', 'pod', pod)
    const path =
      '{.status.containerStatuses[0].lastState.terminated.message}{.status.containerStatuses[0].state.terminated.message}'
    const begun = Date.now()
    for (let said = ''; !said.includes('postgresql.image.tag'); await sleep(1000)) {
      assert.ok(Date.now() - begun < 180_000, `it says ${said}`)
      said = await kubectl('get', 'pod', pod, '-o', `jsonpath=${path}`).catch(() => '')
    }
  })
})
