// SPDX-License-Identifier: Apache-2.0
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type MultipartUpload,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3'
import {
  type BlockReader,
  LFS_OID,
  type LfsObjects,
  objectPath,
  type Span,
  type StoredObject,
} from './objects.ts'
import { checkBucket, isMissing, s3Client, unavailable } from './s3-client.ts'
import type { S3Settings } from './s3-settings.ts'
import { copyObject, uploadFile } from './s3-upload.ts'

/** LFS objects in a bucket, under `<prefix><repository id>/`. */
export class S3Objects implements LfsObjects {
  readonly #client: S3Client
  readonly #settings: S3Settings

  constructor(settings: S3Settings) {
    this.#settings = settings
    this.#client = s3Client(settings)
  }

  /** Throws ConfigError where the bucket cannot be used. */
  check(): Promise<void> {
    return checkBucket(this.#client, this.#settings)
  }

  close(): void {
    this.#client.destroy()
  }

  async size(repo: string, oid: string): Promise<number | undefined> {
    try {
      const head = await this.#client.send(new HeadObjectCommand(this.#name(repo, oid)))
      return head.ContentLength
    } catch (err) {
      if (isMissing(err)) return undefined
      throw unavailable(err)
    }
  }

  async put(repo: string, oid: string, file: string): Promise<void> {
    const { size } = await stat(file)
    // an object by this name has this content
    if ((await this.size(repo, oid)) === size) return
    await this.#ask(() => uploadFile(this.#target(repo, oid), { file, size, oid }))
    const stored = await this.size(repo, oid)
    if (stored !== size)
      throw unavailable(new Error(`it kept ${stored ?? 'none'} of ${size} bytes of ${oid}`))
  }

  async copy(from: string, to: string, oid: string): Promise<void> {
    const size = await this.size(from, oid)
    if (size === undefined) throw new Error(`the LFS object ${oid} is gone`)
    if ((await this.size(to, oid)) === size) return
    await this.#ask(() => copyObject(this.#target(to, oid), { from: this.#name(from, oid).Key, size }))
  }

  async open(repo: string, oid: string, span: Span): Promise<BlockReader | undefined> {
    const get = async (at: number): Promise<Readable> => {
      const Range = `bytes=${at}-${span.end - 1}`
      const got = await this.#client.send(new GetObjectCommand({ ...this.#name(repo, oid), Range }))
      return got.Body as Readable
    }
    try {
      return new S3Reader(span, get, await get(span.start))
    } catch (err) {
      if (isMissing(err)) return undefined
      throw unavailable(err)
    }
  }

  async remove(repo: string, oid: string): Promise<void> {
    await this.#ask(() => this.#client.send(new DeleteObjectCommand(this.#name(repo, oid))))
  }

  async *list(repo: string): AsyncGenerator<StoredObject> {
    for await (const { key, size, changed } of this.#listing(`${this.#settings.prefix}${repo}/`)) {
      const oid = key.slice(key.lastIndexOf('/') + 1)
      if (LFS_OID.test(oid)) yield { oid, size, changed }
    }
  }

  async drop(repo: string): Promise<void> {
    const keys: string[] = []
    for await (const { key } of this.#listing(`${this.#settings.prefix}${repo}/`)) keys.push(key)
    for (let at = 0; at < keys.length; at += 1000) {
      const Objects = keys.slice(at, at + 1000).map((Key) => ({ Key }))
      const answer = await this.#ask(() =>
        this.#client.send(
          new DeleteObjectsCommand({ Bucket: this.#settings.bucket, Delete: { Objects, Quiet: true } }),
        ),
      )
      const [left] = answer.Errors ?? []
      if (left) throw unavailable(new Error(`${left.Key}: ${left.Message}`))
    }
  }

  /** Ends uploads that were begun before `time` (milliseconds since 1970) and never came to an end. */
  async abortUploads(time: number): Promise<number> {
    let ended = 0
    await this.#ask(async () => {
      for await (const { Key, UploadId, Initiated } of this.#uploads()) {
        if (!Initiated || Initiated.getTime() >= time) continue
        const Bucket = this.#settings.bucket
        await this.#client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
        ended += 1
      }
    })
    return ended
  }

  async *#uploads(): AsyncGenerator<MultipartUpload> {
    const from = { Bucket: this.#settings.bucket, Prefix: this.#settings.prefix }
    let at: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
    while (at) {
      const page: ListMultipartUploadsCommandOutput = await this.#client.send(
        new ListMultipartUploadsCommand({ ...from, ...at }),
      )
      yield* page.Uploads ?? []
      const { NextKeyMarker, NextUploadIdMarker } = page
      at =
        page.IsTruncated && NextKeyMarker
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker ? { UploadIdMarker: NextUploadIdMarker } : {}),
            }
          : undefined
    }
  }

  async *#listing(prefix: string): AsyncGenerator<{ key: string; size: number; changed: number }> {
    try {
      const pages = paginateListObjectsV2(
        { client: this.#client },
        { Bucket: this.#settings.bucket, Prefix: prefix },
      )
      for await (const page of pages)
        for (const { Key, Size, LastModified } of page.Contents ?? [])
          if (Key) yield { key: Key, size: Size ?? 0, changed: LastModified?.getTime() ?? Date.now() }
    } catch (err) {
      throw unavailable(err)
    }
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (err) {
      throw unavailable(err)
    }
  }

  #name(repo: string, oid: string) {
    return { Bucket: this.#settings.bucket, Key: `${this.#settings.prefix}${repo}/${objectPath(oid)}` }
  }

  #target(repo: string, oid: string) {
    const { Bucket, Key } = this.#name(repo, oid)
    return { client: this.#client, bucket: Bucket, key: Key }
  }
}

const MAX_RESUMES = 5

/** Reads a response in blocks; one that breaks is asked for again from where it broke. */
class S3Reader implements BlockReader {
  readonly #get: (at: number) => Promise<Readable>
  readonly #end: number
  #at: number
  #stream: Readable
  #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()
  #resumes = 0

  constructor(span: Span, get: (at: number) => Promise<Readable>, stream: Readable) {
    this.#get = get
    this.#at = span.start
    this.#end = span.end
    this.#stream = stream
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  async read(block: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < block.length && this.#at < this.#end) {
      if (this.#rest.length === 0 && !(await this.#more())) break
      const n = Math.min(this.#rest.length, block.length - filled)
      block.set(this.#rest.subarray(0, n), filled)
      this.#rest = this.#rest.subarray(n)
      this.#at += n
      filled += n
    }
    return filled
  }

  async close(): Promise<void> {
    this.#stream.destroy()
  }

  async #more(): Promise<boolean> {
    try {
      const { value, done } = await this.#chunks.next()
      if (done) return false
      this.#rest = value
      return true
    } catch (err) {
      if (++this.#resumes > MAX_RESUMES) throw err
      this.#stream.destroy()
      this.#stream = await this.#get(this.#at)
      this.#chunks = this.#stream[Symbol.asyncIterator]()
      return true
    }
  }
}
