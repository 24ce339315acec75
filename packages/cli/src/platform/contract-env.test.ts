// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError } from '@open-nemo/runtime'
import pg from 'pg'
import { contractEnv } from './contract-env.ts'

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')

/** What the driver makes of a URL. */
const login = (url: string | undefined) => {
  const { user, password, host, port, database } = new pg.Client({ connectionString: url })
  return { user, password, host, port, database }
}

test('every printable character of a password arrives, whichever way the database is given', () => {
  const at = { user: 'u', password: PRINTABLE, host: 'h', port: 5433, database: 'd' }
  const raw = `postgresql://u:${PRINTABLE}@h:5433/d`
  const encoded = `postgresql://u:${encodeURIComponent(PRINTABLE)}@h:5433/d`
  const ways = [
    contractEnv('customizer', { POSTGRES_DB_DSN: raw, POSTGRES_DB_PASSWORD: PRINTABLE }),
    contractEnv('customizer', { POSTGRES_DB_DSN: encoded, POSTGRES_DB_PASSWORD: PRINTABLE }),
    contractEnv('evaluator', { POSTGRES_URI: raw }),
    contractEnv('guardrails', { DB_URI: encoded }),
    contractEnv('entity-store', {
      POSTGRES_HOST: 'h',
      POSTGRES_PORT: '5433',
      POSTGRES_USER: 'u',
      POSTGRES_PASSWORD: PRINTABLE,
      POSTGRES_DB: 'd',
    }),
    contractEnv('data-store', {
      GITEA__DATABASE__HOST: 'h:5433',
      GITEA__DATABASE__USER: 'u',
      GITEA__DATABASE__PASSWD: PRINTABLE,
      GITEA__DATABASE__NAME: 'd',
    }),
  ]
  for (const env of ways) assert.deepEqual(login(env.NEMO_DATABASE_URL), at)
})

test('service URLs lose the path of the API that they are given with', async () => {
  const env = contractEnv('evaluator', {
    DATA_STORE_URL: 'http://ds.ns.svc:8000/v1/hf',
    ENTITY_STORE_URL: 'http://es:8000/',
    NIM_ENDPOINT_URL: 'http://nim:8000/v1',
    LOG_LEVEL: 'INFO',
  })
  assert.equal(env.NEMO_DATA_STORE_URL, 'http://ds.ns.svc:8000')
  assert.equal(env.NEMO_ENTITY_STORE_URL, 'http://es:8000')
  assert.equal(env.NEMO_INFERENCE_URL, 'http://nim:8000')
  assert.equal(env.LOG_LEVEL, 'info')
  const dir = await mkdtemp(join(tmpdir(), 'nemo-env-'))
  try {
    const path = join(dir, 'config.yaml')
    await writeFile(path, 'entity_store_url: http://es:1\nnemo_data_store_url: http://ds:2\n')
    const customizer = contractEnv('customizer', { CONFIG_PATH: path })
    assert.equal(customizer.NEMO_ENTITY_STORE_URL, 'http://es:1')
    assert.equal(customizer.NEMO_DATA_STORE_URL, 'http://ds:2')
    await writeFile(path, 'a: [')
    assert.throws(() => contractEnv('customizer', { CONFIG_PATH: path }), ConfigError)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

test('a NEMO_ variable that is set wins, and nothing is made up', () => {
  const given = { NEMO_DATABASE_URL: 'postgresql://x@y/z', POSTGRES_DB_DSN: 'postgresql://a:b@c/d' }
  assert.equal(contractEnv('customizer', given).NEMO_DATABASE_URL, given.NEMO_DATABASE_URL)
  assert.deepEqual(contractEnv('customizer', {}), {})
  assert.throws(() => contractEnv('customizer', { POSTGRES_DB_DSN: 'mysql://a@b/c' }), ConfigError)
})

test('the bucket of the data store, in the words of the operator', () => {
  const given = {
    GITEA__LFS__STORAGE_TYPE: 'minio',
    GITEA__LFS__MINIO_ENDPOINT: 'minio.ns.svc:9000',
    GITEA__LFS__MINIO_USE_SSL: 'true',
    GITEA__LFS__MINIO_BUCKET: 'lfs',
    GITEA__LFS__MINIO_LOCATION: 'eu-1',
    GITEA__LFS__MINIO_ACCESS_KEY_ID: 'key',
    GITEA__LFS__MINIO_SECRET_ACCESS_KEY: PRINTABLE,
  }
  const env = contractEnv('data-store', given)
  assert.equal(env.NEMO_DATA_STORE_S3_ENDPOINT, 'https://minio.ns.svc:9000')
  assert.equal(env.NEMO_DATA_STORE_S3_BUCKET, 'lfs')
  assert.equal(env.NEMO_DATA_STORE_S3_REGION, 'eu-1')
  assert.equal(env.NEMO_DATA_STORE_S3_ACCESS_KEY_ID, 'key')
  assert.equal(env.NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY, PRINTABLE)
  assert.equal(contractEnv('customizer', given).NEMO_DATA_STORE_S3_BUCKET, undefined)
  assert.equal(
    contractEnv('data-store', { ...given, GITEA__LFS__STORAGE_TYPE: 'local' }).NEMO_DATA_STORE_S3_BUCKET,
    undefined,
  )
})
