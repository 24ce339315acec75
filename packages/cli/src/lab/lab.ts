// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { saveArchive } from '../images/archive.ts'
import { ensureImage, type Image, type ImageSpec } from '../images/image.ts'
import { addonManifests } from './addons.ts'
import { ensureTools, linkFolder } from './binaries.ts'
import { attempt, ensurePackages, sh } from './commands.ts'
import { type ControlPlane, NODE_ADDRESS, startControlPlane, stopControlPlane } from './control-plane.ts'
import { labOwner, networkDown, networkUp } from './network.ts'
import {
  CLUSTER_DNS,
  containerdSocket,
  containerdSpec,
  kubeletSpec,
  kubeProxySpec,
  NODE_NAME,
  schedulerSpec,
} from './node.ts'
import { LabError, type ProcessFolder, processFolder, until } from './processes.ts'
import { removeLeftovers } from './remains.ts'
import { systemImages } from './system-images.ts'

export interface LabOptions {
  /** The lab's own folder: state, logs, certificates, containers. */
  dir: string
  cacheDir: string
  onProgress?: Progress
}

export interface Lab extends ControlPlane {
  dir: string
  /** Brings images into the cluster, built first where they are not in the cache. */
  importImages(specs: ImageSpec[]): Promise<void>
}

const TOOLS = ['kubelet', 'kube-proxy', 'kube-scheduler', 'kubectl', 'helm3', 'helm4'] as const
const NODE_PROCESSES = ['kubelet', 'kube-proxy', 'kube-scheduler']
const PROCESSES = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'containerd', ...NODE_PROCESSES]
/** An absolute path of a Unix socket has at most 107 bytes. */
const LONGEST_DIR = 80

/**
 * Brings up a one-node Kubernetes, or what is missing of one that runs. Its state is kept in `dir` between runs.
 * Throws LabError.
 */
export async function labUp(options: LabOptions): Promise<Lab> {
  const { dir, cacheDir, onProgress = () => undefined } = options
  if (dir.length > LONGEST_DIR) {
    throw new LabError(`${dir} is too long for the sockets in it: choose a shorter folder with --dir`)
  }
  await ensurePackages(onProgress)
  const tools = await ensureTools(cacheDir, TOOLS, onProgress)
  const system: Image[] = []
  for (const spec of systemImages(cacheDir)) system.push(await ensureImage(cacheDir, spec, onProgress))
  await mkdir(dir, { recursive: true, mode: 0o755 })
  onProgress({ message: 'making the network' })
  await networkUp(dir)
  await rememberOthers(dir)
  const processes = processFolder(dir)
  await processes.start(await containerdSpec(dir))
  const plane = await startControlPlane({
    dir,
    cacheDir,
    onProgress,
    host: NODE_ADDRESS,
    port: 6443,
    keep: true,
  })
  await containerdReady(dir, processes)
  await importMissing(dir, system, onProgress)
  const args = { dir, authority: plane.authority, server: plane.server }
  onProgress({ message: 'starting the node' })
  const started = Date.now()
  await processes.start(await schedulerSpec(tools['kube-scheduler'], args))
  await processes.start(await kubeProxySpec(tools['kube-proxy'], args))
  await processes.start(await kubeletSpec(tools.kubelet, args))
  const { kubectl, helm3, helm4 } = tools
  await linkFolder(plane.bin, { kubectl, helm3, helm4, helm: helm4 })
  await plane.kubectl(
    ['apply', '--server-side', '--force-conflicts', '-f', '-'],
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: addonManifests(dir) }),
  )
  await until(
    'the node',
    120_000,
    async () => {
      // After `down`, what the API server says of the node and its pods is from before it: only a new heartbeat counts.
      const lease = ['get', 'lease', NODE_NAME, '-n', 'kube-node-lease', '-o', 'jsonpath={.spec.renewTime}']
      if (!(Date.parse(await plane.kubectl(lease)) >= started)) return false
      await plane.kubectl(['wait', 'node', '--all', '--for=condition=Ready', '--timeout=30s'])
      return true
    },
    () => processes.tail('kubelet'),
  )
  onProgress({ message: 'waiting for DNS and the provisioner of volumes' })
  for (const target of ['kube-system/coredns', 'local-path-storage/local-path-provisioner']) {
    const [namespace = '', name] = target.split('/')
    await plane.kubectl(['rollout', 'status', `deployment/${name}`, '-n', namespace, '--timeout=120s'])
  }
  await until('DNS in the cluster', 120_000, answersNames)
  return {
    ...plane,
    dir,
    importImages: async (specs) => {
      const images: Image[] = []
      for (const spec of specs) images.push(await ensureImage(cacheDir, spec, onProgress))
      await importMissing(dir, images, onProgress)
    },
    stop: () => labDown({ dir, onProgress }),
  }
}

/** Ends everything that the lab started and takes back what it changed; `wipe` removes its state too. */
export async function labDown(args: { dir: string; wipe?: boolean; onProgress?: Progress }): Promise<void> {
  const { dir, wipe = false, onProgress = () => undefined } = args
  if (!existsSync(dir)) return
  const processes = processFolder(dir)
  onProgress({ message: 'stopping the node' })
  for (const name of NODE_PROCESSES) await processes.stop(name)
  await removeLeftovers(dir)
  await processes.stop('containerd')
  await stopControlPlane(processes)
  await removeLeftovers(dir)
  if (((await labOwner()) ?? dir) === dir) await networkDown(dir)
  await rm(join(dir, 'run'), { recursive: true, force: true })
  if (wipe) await rm(dir, { recursive: true, force: true })
}

export interface LabStatus {
  dir: string
  processes: Record<string, boolean>
  kubeconfig: string
}

/** What of the lab runs. */
export async function labStatus(dir: string): Promise<LabStatus> {
  const folder = processFolder(dir)
  const processes: Record<string, boolean> = {}
  for (const name of PROCESSES) processes[name] = (await folder.running(name)) !== undefined
  return { dir, processes, kubeconfig: join(dir, 'kubeconfig') }
}

/** Imports images into the lab of `dir`, which must run, except for those that are there already. */
export async function importMissing(dir: string, images: Image[], onProgress: Progress): Promise<void> {
  const known = join(dir, 'images.json')
  const there = JSON.parse(await readFile(known, 'utf8').catch(() => '{}')) as Record<string, string>
  const missing = images.filter((image) => there[image.reference] !== image.manifest.digest)
  for (const image of missing) {
    onProgress({ message: `importing ${image.reference} (${(image.size / 1e6).toFixed(0)} MB)` })
    const hash = createHash('sha256').update(image.manifest.digest).digest('hex').slice(0, 12)
    const file = join(dir, `import-${hash}.tar`)
    try {
      await saveArchive([image], file)
      await ctr(dir, 'images', 'import', file)
    } finally {
      await rm(file, { force: true })
    }
    there[image.reference] = image.manifest.digest
    await writeFile(known, JSON.stringify(there))
  }
}

/** Asks the cluster's DNS as a pod does, through its Service. Rejects where nothing answers. */
async function answersNames(): Promise<boolean> {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 })
  resolver.setServers([CLUSTER_DNS])
  return (await resolver.resolve4('kubernetes.default.svc.cluster.local')).length > 0
}

/** containerd's own client, in the namespace that kubelet uses. */
export function ctr(dir: string, ...args: string[]): Promise<string> {
  return sh('ctr', '--address', containerdSocket(dir), '--namespace', 'k8s.io', ...args)
}

async function containerdReady(dir: string, processes: ProcessFolder): Promise<void> {
  await until(
    'containerd',
    30_000,
    async () => (await attempt('ctr', '--address', containerdSocket(dir), 'version')) !== undefined,
    () => processes.tail('containerd'),
  )
}

/** Notes what was on the machine before the lab, which `down` must leave alone. */
async function rememberOthers(dir: string): Promise<void> {
  const file = join(dir, 'before.json')
  if (existsSync(file)) return
  const before = ['/var/lib/kubelet', '/var/log/containers', '/var/lib/cni'].filter((path) =>
    existsSync(path),
  )
  await writeFile(file, JSON.stringify(before))
}
