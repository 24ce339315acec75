// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { HookError, type Secrets, secretsInCluster } from './cluster.ts'

type Env = Record<string, string | undefined>

const wantedSecrets = z.array(
  z.strictObject({
    name: z.string().min(1),
    /** Keys that get a random value. */
    generate: z.array(z.string().min(1)).min(1),
    /** Keys beside them that are no secret, such as a user name. */
    values: z.record(z.string(), z.string()).default({}),
  }),
)

const settings = z.object({
  SECRETS: z.string(),
  LABELS: z.string().default('{}'),
})

/** A Secret that has to exist, and which of its keys are made. */
export type WantedSecret = z.infer<typeof wantedSecrets>[number]

/** No character of these means anything to a shell, a URL, SQL or YAML; 32 of 62 are 190 bits. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const LENGTH = 32

/** A strong random password of letters and digits. */
export const newPassword = () =>
  Array.from({ length: LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('')

/**
 * Makes each Secret that is absent, and leaves every one that exists as it is, whoever made it.
 * Throws HookError when an existing one lacks a key, since nothing of it may be changed here.
 */
export async function ensureSecrets(
  secrets: Secrets,
  wanted: readonly WantedSecret[],
  labels: Record<string, string>,
): Promise<string[]> {
  const report: string[] = []
  const lacking: string[] = []
  for (const { name, generate, values } of wanted) {
    const existing = await secrets.read(name)
    const keys = [...generate, ...Object.keys(values)]
    if (existing) {
      const missing = keys.filter((key) => !existing.data?.[key])
      if (missing.length > 0) lacking.push(`Secret ${name} exists without ${missing.join(', ')}`)
      else report.push(`${name}: exists, left as it is`)
      continue
    }
    const stringData = { ...values, ...Object.fromEntries(generate.map((key) => [key, newPassword()])) }
    const made = await secrets.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, labels },
      type: 'Opaque',
      stringData,
    })
    report.push(`${name}: ${made ? 'made' : 'made by somebody else meanwhile'}`)
  }
  if (lacking.length > 0) {
    throw new HookError(
      `${lacking.join('; ')}. Add the keys, or delete the Secret so that it is made again with new values.`,
    )
  }
  return report
}

const json = (name: string, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new HookError(`${name} is no JSON`, { cause })
  }
}

/** `nemoctl hook passwords`: makes the Secrets that SECRETS names and that are absent. */
export async function passwords(
  env: Env,
  options: { secrets?: () => Promise<Secrets>; attempts?: number; waitMs?: number } = {},
): Promise<number> {
  const { SECRETS, LABELS } = settings.parse(env)
  const wanted = wantedSecrets.parse(json('SECRETS', SECRETS))
  const labels = z.record(z.string(), z.string()).parse(json('LABELS', LABELS))
  const attempts = options.attempts ?? 10
  for (let attempt = 1; ; attempt++) {
    try {
      const secrets = await (options.secrets ?? secretsInCluster)()
      for (const line of await ensureSecrets(secrets, wanted, labels)) console.log(line)
      return 0
    } catch (err) {
      // An API server that restarts, or a Role that is not there yet, is waited for.
      if (err instanceof HookError || attempt === attempts) throw err
      console.error(`attempt ${attempt}: ${err instanceof Error ? err.message.split('\n')[0] : err}`)
      await sleep(options.waitMs ?? 2000)
    }
  }
}
