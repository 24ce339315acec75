// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { cacheDir } from '../../tools/test-tiers/cache.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const infraChart = join(root, 'deploy/nemo-infra')
export const instancesChart = join(root, 'deploy/nemo-instances')

/** An object of a rendered chart, as far as tests look into it. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
  // biome-ignore lint/suspicious/noExplicitAny: manifests are of every kind
  [field: string]: any
}

/** Every Helm on this machine: `$HELM`, one on the PATH, and those that the lab built. */
export function helms(): string[] {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'helm'))
  const built = globSync('lab/helm*/helm[34]', { cwd: cacheDir() }).map((file) => join(cacheDir(), file))
  return [...(process.env.HELM ? [process.env.HELM] : []), ...onPath, ...built].filter((file) =>
    existsSync(file),
  )
}

const [helm] = helms()

/** What `skip` of a test takes: false where there is a Helm, else the reason. */
export const noHelm: string | false = helm
  ? false
  : 'no helm: set HELM, put it on the PATH, or run `nemoctl lab up` once, which builds it'

export interface RenderOptions {
  release?: string
  namespace?: string
  /** Values, in place of those of the chart. */
  values?: object
  /** `--api-versions`: what the cluster is said to serve. */
  apiVersions?: string[]
  /** Further arguments, such as `--include-crds`. */
  args?: string[]
  helm?: string
}

function templateArgs(chart: string, options: RenderOptions): string[] {
  const apis = options.apiVersions?.flatMap((api) => ['--api-versions', api]) ?? []
  const names = [options.release ?? 'nemo-infra', chart, '-n', options.namespace ?? 'nemo']
  return ['template', ...names, ...apis, ...(options.args ?? []), '-f', '-']
}

/** The text that `helm template` prints. Throws with Helm's own words when it refuses. */
export function renderText(chart: string, options: RenderOptions = {}): string {
  return execFileSync(options.helm ?? helm ?? 'helm', templateArgs(chart, options), {
    input: JSON.stringify(options.values ?? {}),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  })
}

/** The objects that `helm template` makes of a chart. */
export function render(chart: string, options: RenderOptions = {}): KubeObject[] {
  return parseAllDocuments(renderText(chart, options))
    .map((document) => {
      const [problem] = document.errors
      if (problem) throw problem
      return document.toJS() as KubeObject | null
    })
    .filter((object) => object !== null)
}

/** What Helm says when it refuses these values; undefined when it takes them. */
export function refusal(chart: string, options: RenderOptions = {}): string | undefined {
  const result = spawnSync(options.helm ?? helm ?? 'helm', templateArgs(chart, options), {
    input: JSON.stringify(options.values ?? {}),
    encoding: 'utf8',
  })
  return result.status === 0 ? undefined : result.stderr
}

/** Runs Helm and returns what it printed. */
export function runHelm(args: string[], options: { helm?: string; cwd?: string } = {}): string {
  return execFileSync(options.helm ?? helm ?? 'helm', args, { encoding: 'utf8', cwd: options.cwd })
}
