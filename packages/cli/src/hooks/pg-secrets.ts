// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { connect, type Kube, type KubeObject } from '../kube/api.ts'
import { CONFIG_MAPS, SECRETS } from '../kube/resources.ts'
import { newPassword } from './passwords.ts'

type Env = Record<string, string | undefined>

const copies = z.array(
  z.strictObject({ name: z.string().min(1), from: z.string().min(1), key: z.string().default('password') }),
)

const parsed = <T extends z.ZodType>(schema: T, fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) => schema.parse(JSON.parse(text)) as z.output<T>)

const settings = z.object({
  /** Secrets to make from others when absent, as JSON `[{"name": "x-pg-existing-secret", "from": "r-x-postgresql"}]`. */
  COPIES: parsed(copies, '[]'),
  /** Name of the Secret with the token that the services share. */
  TOKEN_SECRET: z.string().default(''),
  /** ConfigMap of the release that owns that Secret, so that it goes with it. */
  OWNER_CONFIG_MAP: z.string().default(''),
  LABELS: parsed(z.record(z.string(), z.string()), '{}'),
  TIMEOUT_SECONDS: z.coerce.number().int().min(0).default(240),
})

const POLL_MS = 2000

const secret = (
  name: string,
  stringData: Record<string, string>,
  labels: Record<string, string>,
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, labels },
  type: 'Opaque',
  stringData,
})

/**
 * Makes each password Secret that is absent from the one of the infrastructure, and leaves every one that exists as
 * it is: one made by hand wins. A source that is still to be made is waited for. Returns the names that lack one.
 */
export async function copySecrets(
  kube: Kube,
  wanted: z.output<typeof copies>,
  options: {
    labels: Record<string, string>
    timeoutMs: number
    pollMs?: number
    log?: (line: string) => void
  },
): Promise<string[]> {
  const { labels, log = console.log } = options
  const end = Date.now() + options.timeoutMs
  let left = wanted
  for (;;) {
    const lacking: typeof wanted = []
    for (const each of left) {
      if (await kube.get(SECRETS, each.name)) {
        log(`${each.name}: exists, left as it is`)
        continue
      }
      const source = await kube.get(SECRETS, each.from)
      const value = (source?.data as Record<string, string> | undefined)?.[each.key]
      if (!value) {
        lacking.push(each)
        continue
      }
      const password = Buffer.from(value, 'base64').toString('utf8')
      const made = await kube.create(SECRETS, secret(each.name, { password }, labels))
      log(`${each.name}: ${made ? `made from ${each.from}` : 'made by somebody else meanwhile'}`)
    }
    left = lacking
    if (left.length === 0 || Date.now() >= end) return left.map(({ name, from }) => `${name} (from ${from})`)
    await sleep(options.pollMs ?? POLL_MS)
  }
}

/** Makes the Secret with the token that the services of one installation share, when it is absent. */
export async function ensureToken(
  kube: Kube,
  args: { name: string; ownerConfigMap: string; labels: Record<string, string> },
): Promise<string> {
  if (await kube.get(SECRETS, args.name)) return `${args.name}: exists, left as it is`
  const owner = args.ownerConfigMap ? await kube.get(CONFIG_MAPS, args.ownerConfigMap) : undefined
  const object = secret(args.name, { token: newPassword() }, args.labels)
  if (owner?.metadata.uid) {
    const { name, uid } = owner.metadata
    object.metadata.ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name, uid }]
  }
  return `${args.name}: ${(await kube.create(SECRETS, object)) ? 'made' : 'made by somebody else meanwhile'}`
}

/** `nemoctl hook pg-secrets`: runs beside the operators at install and upgrade. Returns 1 when a source is missing. */
export async function pgSecrets(env: Env, kube?: Kube): Promise<number> {
  const config = settings.parse(env)
  const cluster = kube ?? (await connect(env))
  if (config.TOKEN_SECRET) {
    const token = {
      name: config.TOKEN_SECRET,
      ownerConfigMap: config.OWNER_CONFIG_MAP,
      labels: config.LABELS,
    }
    console.log(await ensureToken(cluster, token))
  }
  const left = await copySecrets(cluster, config.COPIES, {
    labels: config.LABELS,
    timeoutMs: config.TIMEOUT_SECONDS * 1000,
  })
  if (left.length === 0) return 0
  console.error(
    `no source for ${left.join(', ')}. Install deploy/nemo-infra in this namespace (and name its release with ` +
      'infra.releaseName), or make these Secrets by hand with the key password.',
  )
  return 1
}
