// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authority, Certificate } from './certificates.ts'
import { CNI_BIN, systemPath } from './commands.ts'
import { NODE_ADDRESS } from './control-plane.ts'
import { writeIfChanged } from './files.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { POD_CIDR, writeCni } from './network.ts'
import type { ProcessSpec } from './processes.ts'

export const NODE_NAME = 'nemo-lab'
export const PAUSE_IMAGE = 'localhost/nemo-lab/pause:1'
export const CLUSTER_DNS = '10.96.0.10'

export const containerdSocket = (dir: string): string => join(dir, 'run', 'containerd.sock')

/** containerd with everything under the lab's folder, and no registry that answers. */
export async function containerdSpec(dir: string): Promise<ProcessSpec> {
  const cni = join(dir, 'cni')
  const registries = join(dir, 'registries', '_default')
  for (const folder of [cni, registries, join(dir, 'run')]) await mkdir(folder, { recursive: true })
  await writeCni(cni, dir)
  // A missing image fails at once, and never because of the machine's network.
  await writeIfChanged(join(registries, 'hosts.toml'), 'server = "http://127.0.0.1:1"\n')
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  const config = join(dir, 'containerd.toml')
  await writeIfChanged(
    config,
    [
      'version = 2',
      `root = "${join(dir, 'containerd')}"`,
      `state = "${join(dir, 'run', 'containerd')}"`,
      // Nothing of what is listed is needed, and some look for devices that are not there.
      'disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]',
      '[grpc]',
      `  address = "${containerdSocket(dir)}"`,
      `[${cri}]`,
      `  sandbox_image = "${PAUSE_IMAGE}"`,
      // Lowering a score needs CAP_SYS_RESOURCE, which containers of a virtual machine often lack.
      '  restrict_oom_score_adj = true',
      `  [${cri}.containerd.runtimes.runc]`,
      '    runtime_type = "io.containerd.runc.v2"',
      `    [${cri}.containerd.runtimes.runc.options]`,
      '      SystemdCgroup = false',
      `  [${cri}.cni]`,
      `    bin_dir = "${CNI_BIN}"`,
      `    conf_dir = "${cni}"`,
      `  [${cri}.registry]`,
      `    config_path = "${join(dir, 'registries')}"`,
      '',
    ].join('\n'),
  )
  return {
    name: 'containerd',
    command: 'containerd',
    args: ['--config', config],
    env: { PATH: systemPath() },
  }
}

interface NodeArgs {
  dir: string
  authority: Authority
  server: string
}

/** kubelet for the one node. */
export async function kubeletSpec(
  command: string,
  { dir, authority, server }: NodeArgs,
): Promise<ProcessSpec> {
  const client = await authority.issue('kubelet', {
    commonName: `system:node:${NODE_NAME}`,
    organization: 'system:nodes',
    names: [`DNS:${NODE_NAME}`, `IP:${NODE_ADDRESS}`],
  })
  const kubeconfig = await writeKubeconfig(join(dir, 'kubelet.kubeconfig'), {
    server,
    authority,
    client,
    user: 'kubelet',
  })
  await writeIfChanged(join(dir, 'resolv.conf'), `nameserver ${CLUSTER_DNS}\n`, 0o644)
  const config = join(dir, 'kubelet.yaml')
  await writeIfChanged(config, JSON.stringify(kubeletConfig(dir, authority, client), null, 2))
  return {
    name: 'kubelet',
    command,
    args: [
      `--config=${config}`,
      `--kubeconfig=${kubeconfig}`,
      `--root-dir=${join(dir, 'kubelet')}`,
      `--cert-dir=${join(dir, 'pki')}`,
      `--hostname-override=${NODE_NAME}`,
      `--node-ip=${NODE_ADDRESS}`,
    ],
    env: { PATH: systemPath() },
  }
}

function kubeletConfig(dir: string, authority: Authority, serving: Certificate): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: NODE_ADDRESS,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: authority.ca.cert },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.cert,
    tlsPrivateKeyFile: serving.key,
    clusterDNS: [CLUSTER_DNS],
    clusterDomain: 'cluster.local',
    resolvConf: join(dir, 'resolv.conf'),
    containerRuntimeEndpoint: `unix://${containerdSocket(dir)}`,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    podLogsDir: join(dir, 'pod-logs'),
    volumePluginDir: join(dir, 'volume-plugins'),
    makeIPTablesUtilChains: false,
    serializeImagePulls: false,
    // An image that was removed could not be pulled again.
    imageGCHighThresholdPercent: 100,
    evictionHard: { 'memory.available': '100Mi' },
    maxPods: 200,
    readOnlyPort: 0,
  }
}

/** kube-proxy, with its configuration in a file that is only written when it changes (it ends when that happens). */
export async function kubeProxySpec(
  command: string,
  { dir, authority, server }: NodeArgs,
): Promise<ProcessSpec> {
  const client = await authority.issue('kube-proxy', { commonName: 'system:kube-proxy' })
  const kubeconfig = await writeKubeconfig(join(dir, 'kube-proxy.kubeconfig'), {
    server,
    authority,
    client,
    user: 'kube-proxy',
  })
  const config = join(dir, 'kube-proxy.yaml')
  await writeIfChanged(
    config,
    JSON.stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'iptables',
      clusterCIDR: POD_CIDR,
      hostnameOverride: NODE_NAME,
      clientConnection: { kubeconfig },
      // Pods that share the bridge answer each other directly: only a translated source brings the answer back.
      iptables: { masqueradeAll: true, minSyncPeriod: '100ms' },
      conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
      oomScoreAdj: 0,
      healthzBindAddress: '127.0.0.1:10256',
      metricsBindAddress: '127.0.0.1:10249',
    }),
  )
  return { name: 'kube-proxy', command, args: [`--config=${config}`], env: { PATH: systemPath() } }
}

/** kube-scheduler. */
export async function schedulerSpec(
  command: string,
  { dir, authority, server }: NodeArgs,
): Promise<ProcessSpec> {
  const client = await authority.issue('scheduler', { commonName: 'system:kube-scheduler' })
  const kubeconfig = await writeKubeconfig(join(dir, 'scheduler.kubeconfig'), {
    server,
    authority,
    client,
    user: 'scheduler',
  })
  return {
    name: 'kube-scheduler',
    command,
    args: [
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      '--secure-port=0',
    ],
  }
}
