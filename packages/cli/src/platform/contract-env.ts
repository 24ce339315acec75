// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import type { ServiceName } from '@open-nemo/contract'
import { ConfigError } from '@open-nemo/runtime'
import { parse } from 'yaml'

type Env = Record<string, string | undefined>

/**
 * The environment with NEMO_* variables derived from those that operators give to the pods of each service
 * (POSTGRES_*, DATA_STORE_URL, …). A NEMO_* variable that is set already is left as it is.
 */
export function contractEnv(service: ServiceName, env: Env): Env {
  const derived: Env = {
    NEMO_DATABASE_URL: databaseUrl(service, env),
    ...serviceUrls(service, env),
    ...(service === 'data-store' ? bucket(env) : {}),
  }
  const result = { ...env }
  for (const [name, value] of Object.entries(derived)) if (value && !result[name]) result[name] = value
  // Pods made for images of others say INFO; ours knows small letters.
  if (result.LOG_LEVEL) result.LOG_LEVEL = result.LOG_LEVEL.toLowerCase()
  return result
}

/** Where the database is in the words of each service. */
function databaseUrl(service: ServiceName, env: Env): string | undefined {
  const uri = env.POSTGRES_DB_DSN || env.POSTGRES_URI || env.DB_URI
  if (uri) return withPassword(uri, env.POSTGRES_DB_PASSWORD)
  if (env.POSTGRES_HOST)
    return fromParts({
      host: env.POSTGRES_HOST,
      port: env.POSTGRES_PORT || '5432',
      user: env.POSTGRES_USER,
      password: env.POSTGRES_PASSWORD || env.POSTGRES_DB_PASSWORD,
      database: env.POSTGRES_DB,
    })
  const gitea = env.GITEA__DATABASE__HOST
  if (service !== 'data-store' || !gitea) return undefined
  const colon = gitea.lastIndexOf(':')
  return fromParts({
    host: colon > 0 ? gitea.slice(0, colon) : gitea,
    port: colon > 0 ? gitea.slice(colon + 1) : '5432',
    user: env.GITEA__DATABASE__USER,
    password: env.GITEA__DATABASE__PASSWD,
    database: env.GITEA__DATABASE__NAME,
  })
}

/** The bucket of LFS objects, in the words of Gitea; `local` storage and none at all have no bucket. */
function bucket(env: Env): Env {
  const endpoint = env.GITEA__LFS__MINIO_ENDPOINT
  if (env.GITEA__LFS__STORAGE_TYPE !== 'minio' || !endpoint) return {}
  const scheme = env.GITEA__LFS__MINIO_USE_SSL === 'true' ? 'https' : 'http'
  return {
    NEMO_DATA_STORE_S3_ENDPOINT: /^https?:\/\//.test(endpoint) ? endpoint : `${scheme}://${endpoint}`,
    NEMO_DATA_STORE_S3_BUCKET: env.GITEA__LFS__MINIO_BUCKET,
    NEMO_DATA_STORE_S3_REGION: env.GITEA__LFS__MINIO_LOCATION,
    NEMO_DATA_STORE_S3_ACCESS_KEY_ID: env.GITEA__LFS__MINIO_ACCESS_KEY_ID,
    NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY: env.GITEA__LFS__MINIO_SECRET_ACCESS_KEY,
  }
}

interface Parts {
  host: string
  port: string
  user: string | undefined
  password: string | undefined
  database: string | undefined
}

function fromParts({ host, port, user, password, database }: Parts): string {
  if (!user || !database)
    throw new ConfigError(`the database at ${host}: set its user and database name beside the host`)
  const secret = password ? `:${encodeURIComponent(password)}` : ''
  return `postgresql://${encodeURIComponent(user)}${secret}@${host}:${port}/${encodeURIComponent(database)}`
}

/**
 * A DSN with its password percent-encoded. NVIDIA's operator writes it as it is, so everything between the first
 * colon and the last @ is the password; where the password is given beside it, that one counts.
 */
function withPassword(uri: string, password: string | undefined): string {
  const found = /^postgres(?:ql)?(?:\+\w+)?:\/\/([^:@/]*)(?::(.*))?@([^@]*)$/s.exec(uri)
  if (!found) throw new ConfigError('the database DSN must be postgresql://user:password@host:port/name')
  const [, user = '', written = '', rest = ''] = found
  const secret = password ?? (isEncoded(written) ? decodeURIComponent(written) : written)
  const login = encodeURIComponent(isEncoded(user) ? decodeURIComponent(user) : user)
  return `postgresql://${login}${secret ? `:${encodeURIComponent(secret)}` : ''}@${rest}`
}

/** Whether a text can be percent-encoded: only then is decoding it safe. */
const isEncoded = (text: string) => !/[^\w\-.~!$&'()*+,;=%]/.test(text) && !/%(?![0-9a-f]{2})/i.test(text)

/** The URLs of the other services; a path such as `/v1` or `/v1/hf` is the caller's to add. */
function serviceUrls(service: ServiceName, env: Env): Env {
  const file = service === 'customizer' ? configFile(env.CONFIG_PATH) : {}
  return {
    NEMO_ENTITY_STORE_URL: origin(env.ENTITY_STORE_URL || file.entity_store_url),
    NEMO_DATA_STORE_URL: origin(env.DATA_STORE_URL || env.BASE_URL_DATASTORE || file.nemo_data_store_url),
    NEMO_INFERENCE_URL: origin(env.NIM_ENDPOINT_URL),
  }
}

function origin(url: string | undefined): string | undefined {
  if (!url) return undefined
  if (!URL.canParse(url)) throw new ConfigError(`${url} is no URL: it must begin with http:// or https://`)
  return url.replace(/\/(v1(\/hf)?)?\/?$/, '')
}

function configFile(path: string | undefined): Record<string, string | undefined> {
  if (!path) return {}
  try {
    return (parse(readFileSync(path, 'utf8')) ?? {}) as Record<string, string | undefined>
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new ConfigError(`${path} cannot be read: ${(err as Error).message}`)
  }
}
