// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { ConfigError, parseConfig } from '@open-nemo/runtime'
import { z } from 'zod'

const flag = z.enum(['true', 'false']).transform((text) => text === 'true')

const schema = z.object({
  NEMO_DATA_STORE_S3_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be http://… or https://…' })
    .optional(),
  NEMO_DATA_STORE_S3_BUCKET: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
      'must be the name of a bucket: 3 to 63 of a-z, 0-9, dot and dash',
    )
    .optional(),
  NEMO_DATA_STORE_S3_REGION: z.string().max(63).default('us-east-1'),
  NEMO_DATA_STORE_S3_PREFIX: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)*\/?$/, 'must be folders with / between them')
    .default('lfs/'),
  NEMO_DATA_STORE_S3_PATH_STYLE: flag.default(true),
  NEMO_DATA_STORE_S3_ACCESS_KEY_ID: z.string().optional(),
  NEMO_DATA_STORE_S3_ACCESS_KEY_ID_FILE: z.string().optional(),
  NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY: z.string().optional(),
  NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY_FILE: z.string().optional(),
  NEMO_DATA_STORE_S3_CA_FILE: z.string().optional(),
})

/** How to reach the bucket that holds LFS objects. */
export interface S3Settings {
  bucket: string
  /** Undefined for Amazon's own. */
  endpoint: string | undefined
  region: string
  /** Ends with a slash. */
  prefix: string
  pathStyle: boolean
  /** Reads the keys; undefined lets the SDK look in the places that it knows. */
  credentials: (() => { accessKeyId: string; secretAccessKey: string }) | undefined
  /** Certificates (PEM) to trust beside the usual ones. */
  ca: string | undefined
}

/** The settings of S3 storage, or undefined where no bucket is named. Throws ConfigError naming what is wrong. */
export function s3Settings(env: Record<string, string | undefined>): S3Settings | undefined {
  const c = parseConfig(schema, env)
  const bucket = c.NEMO_DATA_STORE_S3_BUCKET
  if (!bucket) {
    if (c.NEMO_DATA_STORE_S3_ENDPOINT)
      throw new ConfigError('NEMO_DATA_STORE_S3_BUCKET: is missing beside the endpoint')
    return undefined
  }
  const keyId = source(c, 'NEMO_DATA_STORE_S3_ACCESS_KEY_ID')
  const secret = source(c, 'NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY')
  if (!keyId !== !secret)
    throw new ConfigError(
      'set both NEMO_DATA_STORE_S3_ACCESS_KEY_ID and NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY, or neither',
    )
  return {
    bucket,
    endpoint: c.NEMO_DATA_STORE_S3_ENDPOINT,
    region: c.NEMO_DATA_STORE_S3_REGION,
    prefix: c.NEMO_DATA_STORE_S3_PREFIX.replace(/\/?$/, '/'),
    pathStyle: c.NEMO_DATA_STORE_S3_PATH_STYLE,
    credentials: keyId && secret ? () => ({ accessKeyId: keyId(), secretAccessKey: secret() }) : undefined,
    ca: c.NEMO_DATA_STORE_S3_CA_FILE && read('NEMO_DATA_STORE_S3_CA_FILE', c.NEMO_DATA_STORE_S3_CA_FILE),
  }
}

/** A value, or the file that holds it; the file is read each time, so that a rotated key is taken up. */
function source(values: Record<string, unknown>, name: string): (() => string) | undefined {
  const value = values[name] as string | undefined
  const file = values[`${name}_FILE`] as string | undefined
  if (value && file) throw new ConfigError(`set ${name} or ${name}_FILE, not both`)
  if (value) return () => value
  if (!file) return undefined
  read(`${name}_FILE`, file)
  return () => read(`${name}_FILE`, file).trim()
}

function read(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    throw new ConfigError(`${name}: ${path} cannot be read: ${(err as Error).message}`)
  }
}
