// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import type { Progress } from '@open-nemo/runtime/catalogue/types.ts'
import { ensureGo, type Go } from './go.ts'
import { VERSIONS } from './versions.ts'

/** Programs built from Go modules. */
export type Tool =
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubelet'
  | 'kube-proxy'
  | 'kubectl'
  | 'etcd'
  | 'coredns'
  | 'local-path-provisioner'
  | 'helm3'
  | 'helm4'
  | 'minio'
  | 'builder'

const STRIP = ['-trimpath', '-ldflags', '-s -w']
/** What `go install` builds: package, version, and the name that it gives the program. */
const INSTALLED: Partial<Record<Tool, { package: string; version: string; makes: string }>> = {
  coredns: { package: 'github.com/coredns/coredns', version: VERSIONS.coredns, makes: 'coredns' },
  'local-path-provisioner': {
    package: 'github.com/rancher/local-path-provisioner',
    version: VERSIONS.localPath,
    makes: 'local-path-provisioner',
  },
  helm3: { package: 'helm.sh/helm/v3/cmd/helm', version: VERSIONS.helm3, makes: 'helm' },
  helm4: { package: 'helm.sh/helm/v4/cmd/helm', version: VERSIONS.helm4, makes: 'helm' },
  minio: { package: 'github.com/minio/minio', version: VERSIONS.minio, makes: 'minio' },
  builder: {
    package: 'go.opentelemetry.io/collector/cmd/builder',
    version: VERSIONS.collector,
    makes: 'builder',
  },
}

/** Space that the build of one program may take in Go's own cache and here. */
const NEED_BYTES = 1.5e9

/** The path of each program, built first where it is not in the cache. Minutes for the first, seconds for later ones. */
export async function ensureTools<T extends Tool>(
  cacheDir: string,
  tools: readonly T[],
  onProgress: Progress,
): Promise<Record<T, string>> {
  const paths = {} as Record<T, string>
  // One after another: each build already uses every core.
  for (const tool of tools) {
    const dir = await ensureCached(cacheDir, `lab/${tool}-${versionOf(tool)}`, {
      needBytes: NEED_BYTES,
      onProgress,
      build: (tmp, tell) => build(cacheDir, tool, tmp, tell),
    })
    paths[tool] = join(dir, tool)
  }
  return paths
}

/** A folder of links to programs, for a PATH. `names` are link name and target. */
export async function linkFolder(dir: string, links: Record<string, string>): Promise<string> {
  await mkdir(dir, { recursive: true })
  for (const [name, target] of Object.entries(links)) {
    const link = join(dir, name)
    await rm(link, { force: true })
    await symlink(target, link)
  }
  return dir
}

function versionOf(tool: Tool): string {
  if (tool === 'etcd') return VERSIONS.etcd
  return INSTALLED[tool]?.version ?? VERSIONS.kubernetes
}

async function build(cacheDir: string, tool: Tool, tmp: string, tell: Progress): Promise<void> {
  const go = await ensureGo(cacheDir, tell)
  const begun = Date.now()
  tell({ message: `building ${tool} ${versionOf(tool)} from its Go module` })
  const known = INSTALLED[tool]
  if (known) {
    await go.run(['install', ...STRIP, `${known.package}@${known.version}`], { env: { GOBIN: tmp } })
    if (known.makes !== tool) await rename(join(tmp, known.makes), join(tmp, tool))
  } else if (tool === 'etcd') await buildEtcd(go, tmp)
  else await buildKubernetes(go, tool, tmp)
  tell({ message: `${tool} is built (${Math.round((Date.now() - begun) / 1000)} s)` })
}

// etcd's and Kubernetes' go.mod have replace lines, with which `go install` refuses them: a module of ours that
// requires them is built in their place.
async function buildEtcd(go: Go, tmp: string): Promise<void> {
  const main = 'go.etcd.io/etcd/server/v3'
  const module = `module lab\n\ngo 1.26.0\n\nrequire ${main} ${VERSIONS.etcd}\n`
  await buildWrapped(go, { tmp, module, main, imports: [main], out: 'etcd', flags: STRIP })
}

async function buildKubernetes(go: Go, tool: Tool, tmp: string): Promise<void> {
  const upstream = await readFile(await goModOf(go, 'k8s.io/kubernetes', VERSIONS.kubernetes), 'utf8')
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(VERSIONS.kubernetes) ?? []
  const about = 'k8s.io/component-base/version'
  // Without them every component calls itself v0.0.0-master.
  const stamps = `-X ${about}.gitVersion=${VERSIONS.kubernetes} -X ${about}.gitMajor=${major} -X ${about}.gitMinor=${minor}`
  await buildWrapped(go, {
    tmp,
    module: kubernetesModule(upstream),
    main: `k8s.io/kubernetes/cmd/${tool}`,
    imports: [
      'kube-apiserver',
      'kube-controller-manager',
      'kube-scheduler',
      'kubelet',
      'kube-proxy',
      'kubectl',
    ].map((name) => `k8s.io/kubernetes/cmd/${name}`),
    out: tool,
    flags: ['-trimpath', '-ldflags', `-s -w ${stamps}`],
  })
}

/** The go.mod of a module that builds Kubernetes' commands, from the go.mod of Kubernetes itself. */
export function kubernetesModule(upstream: string): string {
  const settings = upstream.match(/^(go|godebug) .*$/gm) ?? []
  const debug = /^godebug \([\s\S]*?^\)/m.exec(upstream)?.[0]
  const staging = [...upstream.matchAll(/(k8s\.io\/[a-z-]+) => .*staging/g)].map((match) => match[1])
  return [
    'module lab',
    ...settings,
    ...(debug ? [debug] : []),
    `require k8s.io/kubernetes ${VERSIONS.kubernetes}`,
    ...[...new Set(staging)].map((name) => `replace ${name} => ${name} ${VERSIONS.staging}`),
    '',
  ].join('\n')
}

interface Wrapped {
  tmp: string
  module: string
  main: string
  imports: string[]
  out: string
  flags: string[]
}

async function buildWrapped(go: Go, { tmp, module, main, imports, out, flags }: Wrapped): Promise<void> {
  const cwd = join(tmp, 'src')
  await mkdir(cwd)
  await writeFile(join(cwd, 'go.mod'), module)
  const lines = imports.map((name) => `import _ "${name}"`).join('\n')
  await writeFile(join(cwd, 'tools.go'), `//go:build tools\n\npackage lab\n\n${lines}\n`)
  await go.run(['mod', 'tidy'], { cwd })
  await go.run(['build', ...flags, '-o', join(tmp, out), main], { cwd })
  await rm(cwd, { recursive: true })
}

/** The path of an OpenTelemetry collector of the parts that a recipe of its builder names, built on first use. */
export async function ensureCollector(
  cacheDir: string,
  recipe: string,
  onProgress: Progress,
): Promise<string> {
  const text = await readFile(recipe, 'utf8')
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
  const dir = await ensureCached(cacheDir, `lab/otelcol-${VERSIONS.collector}-${hash}`, {
    needBytes: NEED_BYTES,
    onProgress,
    build: async (tmp, tell) => {
      const { builder } = await ensureTools(cacheDir, ['builder'], tell)
      const go = await ensureGo(cacheDir, tell)
      tell({ message: `building the OpenTelemetry collector ${VERSIONS.collector}` })
      const file = join(tmp, 'builder.yaml')
      const out = join(tmp, 'out')
      await writeFile(file, text.replace('./out', out))
      await go.execute(builder, ['--config', file, '--ldflags', '-s -w'])
      await rename(join(out, 'otelcol'), join(tmp, 'otelcol'))
      await rm(out, { recursive: true })
    },
  })
  return join(dir, 'otelcol')
}

async function goModOf(go: Go, module: string, version: string): Promise<string> {
  const text = await go.run(['mod', 'download', '-json', `${module}@${version}`])
  return (JSON.parse(text) as { GoMod: string }).GoMod
}

/** The SecurityContextConstraints CRD of OpenShift's API module, as YAML. */
export async function ensureSccCrd(cacheDir: string, onProgress: Progress): Promise<string> {
  const dir = await ensureCached(cacheDir, `lab/openshift-api-${VERSIONS.openshiftApi}`, {
    needBytes: 1e8,
    onProgress,
    build: async (tmp, tell) => {
      const go = await ensureGo(cacheDir, tell)
      const spec = `github.com/openshift/api@${VERSIONS.openshiftApi}`
      const { Dir } = JSON.parse(await go.run(['mod', 'download', '-json', spec])) as { Dir: string }
      const folder = join(Dir, 'security/v1/zz_generated.crd-manifests')
      const name = (await readdir(folder)).find((file) => file.includes('securitycontextconstraints'))
      if (!name) throw new Error(`${spec} has no SecurityContextConstraints CRD`)
      await writeFile(join(tmp, 'scc.yaml'), await readFile(join(folder, name)))
    },
  })
  const file = join(dir, 'scc.yaml')
  if (!existsSync(file)) throw new Error(`${file} is missing: remove ${dir} and try again`)
  return file
}
