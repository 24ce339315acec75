// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { attempt, sh } from './commands.ts'
import { NODE_ADDRESS, SERVICE_CIDR } from './control-plane.ts'
import { writeIfChanged } from './files.ts'
import { LabError } from './processes.ts'

/** The link that carries the node's address, and the bridge between pods. */
export const NODE_LINK = 'nemo-lab0'
export const POD_LINK = 'nemo-pods0'
export const POD_CIDR = '10.244.0.0/16'
const NODE_PODS = '10.244.0.0/24'
const CHAIN = 'NEMO-LAB'
const SYSCTLS = ['net/ipv4/ip_forward', 'net/bridge/bridge-nf-call-iptables']

/** Makes the lab's links, routes and rules; what is there stays. The lab's folder is kept as the link's alias. */
export async function networkUp(dir: string): Promise<void> {
  const owner = await labOwner()
  if (owner && owner !== dir) {
    throw new LabError(
      `a lab of ${owner} runs on this machine: stop it with \`nemoctl lab down --dir ${owner}\``,
    )
  }
  if (!owner) {
    await sh('ip', 'link', 'add', NODE_LINK, 'type', 'bridge')
    await sh('ip', 'link', 'set', NODE_LINK, 'alias', dir)
  }
  await sh('ip', 'addr', 'replace', `${NODE_ADDRESS}/32`, 'dev', NODE_LINK)
  await sh('ip', 'link', 'set', NODE_LINK, 'up')
  // Without a route of its own a ClusterIP would go out to the machine's network, where anything may answer.
  await sh('ip', 'route', 'replace', SERVICE_CIDR, 'dev', NODE_LINK, 'src', NODE_ADDRESS)
  await keepSysctls(dir)
  await rules()
}

/** The folder of the lab that runs on this machine. */
export async function labOwner(): Promise<string | undefined> {
  const text = await attempt('ip', '-json', '-details', 'link', 'show', 'dev', NODE_LINK)
  if (!text) return undefined
  const [link] = JSON.parse(text) as { ifalias?: string }[]
  return link?.ifalias
}

/** Takes back all that `networkUp`, kubelet, kube-proxy and the CNI plugins made. */
export async function networkDown(dir: string): Promise<void> {
  for (const link of [POD_LINK, NODE_LINK]) await attempt('ip', 'link', 'delete', link)
  // A lab of an older version left one for each time it was brought up.
  while ((await attempt('iptables', '-w', '-D', 'FORWARD', '-j', CHAIN)) !== undefined);
  await attempt('iptables', '-w', '-F', CHAIN)
  await attempt('iptables', '-w', '-X', CHAIN)
  for (const family of ['iptables', 'ip6tables']) await removeKubernetesChains(family)
  const kept = await readFile(join(dir, 'sysctls.json'), 'utf8').catch(() => '{}')
  for (const [name, value] of Object.entries(JSON.parse(kept) as Record<string, string>)) {
    await writeFile(join('/proc/sys', name), value)
  }
  await attempt('rm', '-f', join(dir, 'sysctls.json'))
}

/** Rules of the lab and of Kubernetes that are there. */
export async function leftRules(): Promise<string[]> {
  const all = await Promise.all(['iptables-save', 'ip6tables-save'].map((save) => attempt(save)))
  return all.flatMap((text) => (text ?? '').split('\n').filter((line) => /KUBE-|NEMO-LAB/.test(line)))
}

/** The CNI configuration: a bridge with addresses of its own. Pods' addresses are never translated. */
export async function writeCni(folder: string, dir: string): Promise<void> {
  const config = {
    cniVersion: '0.4.0',
    name: 'nemo-lab',
    plugins: [
      {
        type: 'bridge',
        bridge: POD_LINK,
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(dir, 'run', 'ipam'),
          ranges: [[{ subnet: NODE_PODS }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  }
  await writeIfChanged(join(folder, '10-lab.conflist'), JSON.stringify(config, null, 2))
}

async function keepSysctls(dir: string): Promise<void> {
  const file = join(dir, 'sysctls.json')
  const before: Record<string, string> = {}
  for (const name of SYSCTLS) {
    const value = await readFile(join('/proc/sys', name), 'utf8').catch(() => undefined)
    if (value !== undefined) before[name] = value.trim()
  }
  const known = await readFile(file, 'utf8').catch(() => undefined)
  if (!known) await writeIfChanged(file, JSON.stringify(before))
  for (const name of Object.keys(before)) await writeFile(join('/proc/sys', name), '1')
}

async function rules(): Promise<void> {
  await attempt('iptables', '-w', '-N', CHAIN)
  await sh('iptables', '-w', '-F', CHAIN)
  const inside = [POD_CIDR, `${NODE_ADDRESS}/32`, SERVICE_CIDR]
  for (const net of inside) {
    await sh('iptables', '-w', '-A', CHAIN, '-s', POD_CIDR, '-d', net, '-j', 'ACCEPT')
  }
  await sh('iptables', '-w', '-A', CHAIN, '-d', POD_CIDR, '-j', 'ACCEPT')
  // The cluster has no way out, as one without egress.
  await sh('iptables', '-w', '-A', CHAIN, '-s', POD_CIDR, '-j', 'REJECT')
  // It prints nothing when the rule is there.
  if ((await attempt('iptables', '-w', '-C', 'FORWARD', '-j', CHAIN)) === undefined) {
    await sh('iptables', '-w', '-I', 'FORWARD', '1', '-j', CHAIN)
  }
}

async function removeKubernetesChains(family: string): Promise<void> {
  const tables = ['nat', 'filter', 'mangle', 'raw']
  for (const table of tables) {
    const text = (await attempt(family, '-w', '-t', table, '-S')) ?? ''
    const lines = text.split('\n')
    const jumps = lines.filter((line) => /^-A (?!KUBE-).* -j KUBE-/.test(line))
    for (const line of jumps) await attempt(family, '-w', '-t', table, '-D', ...words(line).slice(1))
    const chains = lines.flatMap((line) => /^-N (KUBE-\S+)/.exec(line)?.[1] ?? [])
    for (const chain of chains) await attempt(family, '-w', '-t', table, '-F', chain)
    for (const chain of chains) await attempt(family, '-w', '-t', table, '-X', chain)
  }
}

/** The words of a rule as iptables prints it; a comment stands in quotes. */
const words = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '')

/** Network namespaces that the CNI plugins made. */
export async function podNamespaces(): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => [] as string[])
  return names.filter((name) => name.startsWith('cni-'))
}
