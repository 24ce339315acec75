// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from 'node:fs/promises'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Limiter } from './locks.ts'

const MIB = 1024 * 1024
/** Smaller objects go in one request. */
const PART = 16 * MIB
/** S3 takes 10 000 parts; a part is held in memory so that it can be sent again. */
const MAX_PARTS = 9000
const PARALLEL = 4
/** The most that S3 copies in one request is 5 GiB. */
const COPY_PART = 1024 * MIB

/** Memory for parts is shared by all uploads. */
const parts = new Limiter(2 * PARALLEL)

export interface Target {
  client: S3Client
  bucket: string
  key: string
}

/** Sends a file whose sha256 is `oid`. The object appears whole or not at all. */
export async function uploadFile(
  to: Target,
  args: { file: string; size: number; oid: string },
): Promise<void> {
  const { size } = args
  const file = await open(args.file, 'r')
  try {
    if (size <= PART) {
      const Body = await block(file, 0, size)
      // S3 hashes what it receives and refuses anything else
      const ChecksumSHA256 = Buffer.from(args.oid, 'hex').toString('base64')
      await to.client.send(new PutObjectCommand({ ...name(to), Body, ContentLength: size, ChecksumSHA256 }))
      return
    }
    const part = Math.max(PART, Math.ceil(size / MAX_PARTS / MIB) * MIB)
    await inParts(to, { size, part }, async (common, start, end) => {
      const Body = await block(file, start, end - start)
      const sent = await to.client.send(
        new UploadPartCommand({ ...common, Body, ContentLength: end - start }),
      )
      return { ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 }
    })
  } finally {
    await file.close()
  }
}

/** Copies within the bucket, without the bytes coming here. */
export async function copyObject(to: Target, args: { from: string; size: number }): Promise<void> {
  const CopySource = `${to.bucket}/${args.from.split('/').map(encodeURIComponent).join('/')}`
  if (args.size <= COPY_PART) {
    await to.client.send(new CopyObjectCommand({ ...name(to), CopySource }))
    return
  }
  await inParts(to, { size: args.size, part: COPY_PART }, async (common, start, end) => {
    const CopySourceRange = `bytes=${start}-${end - 1}`
    const made = await to.client.send(new UploadPartCopyCommand({ ...common, CopySource, CopySourceRange }))
    return { ETag: made.CopyPartResult?.ETag, ChecksumCRC32: made.CopyPartResult?.ChecksumCRC32 }
  })
}

interface Common {
  Bucket: string
  Key: string
  UploadId: string
  PartNumber: number
}
type SendPart = (common: Common, start: number, end: number) => Promise<CompletedPart>

/** Runs a multipart upload; when a part fails for good, S3 forgets the others. */
async function inParts(
  to: Target,
  { size, part }: { size: number; part: number },
  send: SendPart,
): Promise<void> {
  const begun = await to.client.send(
    new CreateMultipartUploadCommand({ ...name(to), ChecksumAlgorithm: 'CRC32' }),
  )
  const upload = { ...name(to), UploadId: begun.UploadId ?? '' }
  const done: CompletedPart[] = []
  let next = 0
  const worker = async () => {
    for (let at = next; at < size; at = next) {
      next = at + part
      const PartNumber = at / part + 1
      const sent = await parts.run(() => send({ ...upload, PartNumber }, at, Math.min(at + part, size)))
      done[PartNumber - 1] = { ...sent, PartNumber }
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, worker))
  try {
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    await to.client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: done } }))
  } catch (err) {
    await to.client.send(new AbortMultipartUploadCommand(upload)).catch(() => {})
    throw err
  }
}

function name(to: Target) {
  return { Bucket: to.bucket, Key: to.key }
}

async function block(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, start + at)
    if (bytesRead === 0) throw new Error('the spooled file is shorter than its size')
    at += bytesRead
  }
  return bytes
}
