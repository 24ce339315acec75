// SPDX-License-Identifier: Apache-2.0
import { rootCertificates } from 'node:tls'
import { CreateBucketCommand, HeadBucketCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { ConfigError } from '@open-nemo/runtime'
import type { S3Settings } from './s3-settings.ts'

/** Downloads hold a connection each. */
const MAX_SOCKETS = 256
/** Keys in files are read again after this long. */
const KEYS_MS = 60_000
const RETRY_AFTER_SECONDS = '5'

/** A client for the bucket; it signs, retries what failed on the way, and keeps connections. */
export function s3Client(settings: S3Settings): S3Client {
  const { credentials, ca, endpoint } = settings
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS }
  return new S3Client({
    region: settings.region,
    forcePathStyle: settings.pathStyle,
    maxAttempts: 5,
    ...(endpoint ? { endpoint } : {}),
    ...(credentials
      ? { credentials: async () => ({ ...credentials(), expiration: new Date(Date.now() + KEYS_MS) }) }
      : {}),
    // a part of an object has no checksum of its own; uploads keep theirs
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: 5000,
      socketTimeout: 60_000,
      httpAgent: agent,
      httpsAgent: ca ? { ...agent, ca: [...rootCertificates, ca] } : agent,
    },
  })
}

/** Makes sure that the bucket is there and may be used; makes it where it is not. Throws ConfigError otherwise. */
export async function checkBucket(client: S3Client, { bucket, endpoint }: S3Settings): Promise<void> {
  const where = `the bucket ${bucket} at ${endpoint ?? 'Amazon S3'}`
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }))
  } catch (err) {
    if (!isMissing(err)) throw new ConfigError(`${where} cannot be used: ${reason(err)}`, { cause: err })
    try {
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
    } catch (cause) {
      const raced = cause instanceof S3ServiceException && cause.name === 'BucketAlreadyOwnedByYou'
      if (!raced)
        throw new ConfigError(`${where} does not exist and cannot be made: ${reason(cause)}`, { cause })
    }
  }
}

/** Whether S3 says that an object or bucket is not there. */
export function isMissing(err: unknown): boolean {
  return err instanceof S3ServiceException && err.$metadata.httpStatusCode === 404
}

/** The 503 for clients when S3 could not do what it was asked. */
export function unavailable(err: unknown) {
  return dataStoreErrors.STORAGE_UNAVAILABLE({ reason: reason(err) }, { cause: err }).with({
    'retry-after': RETRY_AFTER_SECONDS,
  })
}

/** What S3 or the connection said; a HEAD has no body, so that only its status tells. */
function reason(err: unknown): string {
  if (err instanceof S3ServiceException) {
    const status = err.$metadata.httpStatusCode
    if (status === 403) return 'it refuses the access key (403)'
    return `${err.name}${status ? ` (${status})` : ''}: ${err.message}`
  }
  if (err instanceof AggregateError && err.errors.length > 0) return String(err.errors[0]?.message)
  return err instanceof Error ? err.message || err.name : String(err)
}
