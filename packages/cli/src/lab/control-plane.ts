// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { ensureSccCrd, ensureTools, linkFolder } from './binaries.ts'
import { type Authority, openAuthority, serviceAccountKey } from './certificates.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { keptPorts } from './ports.ts'
import { LabError, type ProcessFolder, processFolder, until } from './processes.ts'

export interface ControlPlaneOptions {
  /** Folder for its state, certificates and logs; a second start on it continues with the same state. */
  dir: string
  /** Where programs are cached; NEMO_CACHE by default. */
  cacheDir?: string
  onProgress?: Progress
  /** Address and port the API server listens on; loopback and a free port by default. */
  host?: string
  port?: number
  /** Programs that outlive this process (the lab's); otherwise the kernel ends them with it. */
  keep?: boolean
  /** Admission plugins beyond Kubernetes' own choice, such as one that OpenShift has on. */
  admission?: readonly string[]
}

/** A real API server with etcd and the controller manager: everything but nodes, so that no pod ever starts. */
export interface ControlPlane {
  server: string
  /** Path of the administrator's kubeconfig. */
  kubeconfig: string
  /** Folder with kubectl. */
  bin: string
  authority: Authority
  processes: ProcessFolder
  /** Environment for child processes: KUBECONFIG, and a PATH that finds kubectl. */
  env: Record<string, string>
  /** Runs kubectl as administrator and gives what it printed; throws LabError with its message. */
  kubectl(args: string[], input?: string): Promise<string>
  /** Stops the API server alone, for tests of what happens then; `startApiServer` brings it back at the same address. */
  stopApiServer(): Promise<void>
  startApiServer(): Promise<void>
  /** Ends all of it; the state stays in `dir`. */
  stop(): Promise<void>
}

const PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'] as const
export const SERVICE_CIDR = '10.96.0.0/16'
/** Where pods find the API server; given as advertised address even where no node exists. */
export const NODE_ADDRESS = '10.89.0.1'

/**
 * Starts etcd, kube-apiserver and kube-controller-manager with a CA of their own, RBAC, and OpenShift's
 * SecurityContextConstraints CRD. Ready some seconds after the call once the programs are in the cache.
 *
 * In a test:
 *
 *     const plane = await startControlPlane({ dir: await mkdtemp(join(tmpdir(), 'plane-')) })
 *     const config = new KubeConfig(); config.loadFromFile(plane.kubeconfig)   // or plane.kubectl(['get', 'ns'])
 *     after(() => plane.stop())
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { dir, onProgress = () => undefined, host = '127.0.0.1' } = options
  const cacheDir = options.cacheDir ?? defaultCache()
  const tools = await ensureTools(cacheDir, PROGRAMS, onProgress)
  const sccCrd = await ensureSccCrd(cacheDir, onProgress)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const authority = await openAuthority(join(dir, 'pki'))
  const ports = await keptPorts(join(dir, 'ports.json'), ['etcd', 'etcdPeer', 'api'])
  const server = `https://${host}:${options.port ?? ports.api}`
  const admin = await authority.issue('admin', { commonName: 'lab-admin', organization: 'system:masters' })
  const kubeconfig = await writeKubeconfig(join(dir, 'kubeconfig'), {
    server,
    authority,
    client: admin,
    user: 'admin',
  })
  const bin = await linkFolder(join(dir, 'bin'), { kubectl: tools.kubectl })
  const processes = processFolder(dir, { dieWithParent: !options.keep })
  const env = { KUBECONFIG: kubeconfig, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` }
  const kubectl = (args: string[], input?: string) => runKubectl(tools.kubectl, env, args, input)

  const etcd = await etcdSpec(tools.etcd, dir, authority, ports)
  const api = await apiServerSpec(tools['kube-apiserver'], {
    dir,
    authority,
    host,
    port: options.port ?? ports.api,
    admission: options.admission ?? [],
    etcd: `https://127.0.0.1:${ports.etcd}`,
  })
  const controllers = await controllerManagerSpec(tools['kube-controller-manager'], dir, authority, server)
  const agent = new Agent({
    ca: await readFile(authority.ca.cert),
    cert: await readFile(admin.cert),
    key: await readFile(admin.key),
  })
  const startApiServer = async () => {
    await processes.start(api)
    await until(
      'the API server',
      60_000,
      async () => {
        if (!(await processes.running(api.name))) throw new LabError('kube-apiserver ended')
        return (await status(`${server}/readyz`, agent)) === 200
      },
      () => processes.tail(api.name),
    )
  }

  onProgress({ message: 'starting etcd and the API server' })
  await processes.start(etcd)
  await startApiServer()
  await processes.start(controllers)
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', sccCrd])
  const crd = 'crd/securitycontextconstraints.security.openshift.io'
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', crd])
  // Pods are refused without it, and the controller manager makes it some time after its start.
  await until('the default ServiceAccount', 30_000, async () => {
    await kubectl(['get', 'serviceaccount', 'default', '-n', 'default', '-o', 'name'])
    return true
  })
  return {
    server,
    kubeconfig,
    bin,
    authority,
    processes,
    env,
    kubectl,
    startApiServer,
    stopApiServer: () => processes.stop(api.name),
    stop: async () => {
      agent.destroy()
      await stopControlPlane(processes)
    },
  }
}

/** Ends the programs of a control plane, also one that another process started. */
export async function stopControlPlane(processes: ProcessFolder): Promise<void> {
  for (const name of ['kube-controller-manager', 'kube-apiserver', 'etcd']) await processes.stop(name)
}

function defaultCache(): string {
  return process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
}

async function etcdSpec(
  command: string,
  dir: string,
  authority: Authority,
  ports: { etcd: number; etcdPeer: number },
) {
  const { cert, key } = await authority.issue('etcd', { commonName: 'etcd', names: ['IP:127.0.0.1'] })
  const client = `https://127.0.0.1:${ports.etcd}`
  const peer = `http://127.0.0.1:${ports.etcdPeer}`
  return {
    name: 'etcd',
    command,
    args: [
      '--name=lab',
      `--data-dir=${join(dir, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=lab=${peer}`,
      `--cert-file=${cert}`,
      `--key-file=${key}`,
      `--trusted-ca-file=${authority.ca.cert}`,
      '--client-cert-auth=true',
      '--log-level=warn',
    ],
  }
}

async function apiServerSpec(
  command: string,
  args: {
    dir: string
    authority: Authority
    host: string
    port: number
    etcd: string
    admission: readonly string[]
  },
) {
  const { dir, authority, host, port, etcd } = args
  const serving = await authority.issue('apiserver', {
    commonName: 'kube-apiserver',
    names: [
      ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map((name) => `DNS:${name}`),
      'DNS:kubernetes.default.svc.cluster.local',
      'DNS:localhost',
      'IP:127.0.0.1',
      `IP:${NODE_ADDRESS}`,
      'IP:10.96.0.1',
    ],
  })
  const kubelet = await authority.issue('apiserver-kubelet-client', {
    commonName: 'apiserver-kubelet-client',
    organization: 'system:masters',
  })
  const tokens = await serviceAccountKey(authority.dir)
  const onNode = host === NODE_ADDRESS
  return {
    name: 'kube-apiserver',
    command,
    args: [
      `--bind-address=${host}`,
      `--secure-port=${port}`,
      `--advertise-address=${NODE_ADDRESS}`,
      // Without a node that address answers nobody, so no Endpoints are made for it.
      ...(onNode ? [] : ['--endpoint-reconciler-type=none']),
      `--cert-dir=${join(dir, 'pki')}`,
      `--tls-cert-file=${serving.cert}`,
      `--tls-private-key-file=${serving.key}`,
      `--client-ca-file=${authority.ca.cert}`,
      `--etcd-servers=${etcd}`,
      `--etcd-cafile=${authority.ca.cert}`,
      `--etcd-certfile=${kubelet.cert}`,
      `--etcd-keyfile=${kubelet.key}`,
      `--kubelet-client-certificate=${kubelet.cert}`,
      `--kubelet-client-key=${kubelet.key}`,
      `--kubelet-certificate-authority=${authority.ca.cert}`,
      '--kubelet-preferred-address-types=InternalIP',
      `--service-account-key-file=${tokens.publicKey}`,
      `--service-account-signing-key-file=${tokens.key}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-cluster-ip-range=${SERVICE_CIDR}`,
      '--authorization-mode=Node,RBAC',
      `--enable-admission-plugins=${['NodeRestriction', ...args.admission].join()}`,
      '--allow-privileged=true',
      '--profiling=false',
    ],
  }
}

async function controllerManagerSpec(command: string, dir: string, authority: Authority, server: string) {
  const client = await authority.issue('controller-manager', {
    commonName: 'system:kube-controller-manager',
  })
  const kubeconfig = await writeKubeconfig(join(dir, 'controller-manager.kubeconfig'), {
    server,
    authority,
    client,
    user: 'controller-manager',
  })
  const tokens = await serviceAccountKey(authority.dir)
  return {
    name: 'kube-controller-manager',
    command,
    args: [
      `--kubeconfig=${kubeconfig}`,
      `--service-account-private-key-file=${tokens.key}`,
      `--root-ca-file=${authority.ca.cert}`,
      `--cluster-signing-cert-file=${authority.ca.cert}`,
      `--cluster-signing-key-file=${authority.ca.key}`,
      '--use-service-account-credentials=true',
      '--leader-elect=false',
      '--secure-port=0',
      '--profiling=false',
    ],
  }
}

function runKubectl(
  command: string,
  env: Record<string, string>,
  args: string[],
  input?: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: 'pipe' })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input ?? '')
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(out)
      else reject(new LabError(`kubectl ${args.join(' ')}: ${err.trim() || `exit code ${code}`}`))
    })
  })
}

function status(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, timeout: 5_000 }, (res) => {
      res.resume()
      resolve(res.statusCode ?? 0)
    })
    sent.on('timeout', () => sent.destroy(new Error('no answer within 5 s')))
    sent.on('error', reject)
    sent.end()
  })
}
