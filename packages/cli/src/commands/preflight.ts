// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { reportLines, runChecks } from '../checks/run.ts'
import { type Finding, wantedSchema } from '../checks/types.ts'
import { connect, type Requests } from '../kube/api.ts'

type Env = Record<string, string | undefined>

export interface PreflightOptions {
  namespace?: string
  /** Release of nemo-infra that must be there; none is looked for without it. */
  infra?: string
  storageClass?: string
  gpus: number
  /** `key`, `key=value` or either with `:effect`. */
  toleration: string[]
  /** Secrets that must be there, `name` or `name=key`. */
  secret: string[]
  /** File with an image a line, such as deploy/images.txt. */
  images?: string
  imageRegistry?: string
}

const PARTS = ['customizer', 'datastore', 'entity-store', 'evaluator', 'guardrail']

/** What an installer has to be allowed to do in the namespace, and for CRDs in the cluster. */
const RIGHTS: { verb: string; group: string; resource: string; cluster?: boolean }[] = [
  { verb: 'create', group: 'apps', resource: 'deployments' },
  { verb: 'create', group: '', resource: 'secrets' },
  { verb: 'create', group: 'rbac.authorization.k8s.io', resource: 'roles' },
  { verb: 'create', group: 'batch', resource: 'jobs' },
  { verb: 'create', group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', cluster: true },
  { verb: 'create', group: 'rbac.authorization.k8s.io', resource: 'clusterroles', cluster: true },
]

/** Whether the account may do what an installation does, asked of the API server itself. */
export async function access(request: Requests, namespace: string): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { verb, group, resource, cluster } of RIGHTS) {
    const resourceAttributes = { verb, group, resource, ...(!cluster && { namespace }) }
    const review = (await request({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes },
      },
    })) as { status?: { allowed?: boolean } }
    if (review.status?.allowed) continue
    findings.push({
      check: 'access',
      level: cluster ? 'warning' : 'error',
      message: cluster
        ? `you may not ${verb} ${resource}: have an administrator apply deploy/*/crds, and set preflight.cluster=false`
        : `you may not ${verb} ${resource} in ${namespace}: ask for the role admin there`,
    })
  }
  return findings.length > 0 ? findings : [{ check: 'access', level: 'ok', message: 'you may install' }]
}

function toleration(text: string) {
  const [, key = text, value, effect] = /^([^=:]+)(?:=([^:]*))?(?::(\w+))?$/.exec(text) ?? []
  return { key, ...(value === undefined ? { operator: 'Exists' } : { value }), ...(effect && { effect }) }
}

/** The image as the installation asks for it, with the registry's host replaced. */
function from(registry: string | undefined, image: string): string {
  if (!registry) return image
  const [first = '', ...rest] = image.split('/')
  const path = rest.length > 0 && /[.:]|^localhost$/.test(first) ? rest.join('/') : image
  return `${registry.replace(/\/+$/, '')}/${path}`
}

/** `nemoctl preflight`: looks from here for what an installation lacks. Returns 1 when something is missing. */
export async function preflightCommand(env: Env, options: PreflightOptions): Promise<number> {
  const kube = await connect(env, options.namespace)
  const lines = options.images ? (await readFile(options.images, 'utf8')).split('\n') : []
  const wanted = wantedSchema.parse({
    services: options.infra ? PARTS.map((part) => `${options.infra}-${part}-postgresql`) : [],
    secrets: options.secret.map((text) => {
      const [name = '', key] = text.split('=')
      return { name, keys: key ? [key] : [], why: 'named with --secret' }
    }),
    storageClass: options.storageClass ?? '',
    claims: 1,
    gpus: options.gpus,
    tolerations: options.toleration.map(toleration),
    images: lines
      .map((line) => line.trim())
      .filter((line) => line && !line.startsWith('#'))
      .map((image) => from(options.imageRegistry, image)),
  })
  const findings = [...(await access(kube.request, kube.namespace)), ...(await runChecks(kube, wanted))]
  for (const line of reportLines(findings)) console.log(line)
  const missing = findings.filter((finding) => finding.level === 'error').length
  console.log(missing === 0 ? 'Nothing is missing.' : `${missing} missing.`)
  return missing === 0 ? 0 : 1
}
