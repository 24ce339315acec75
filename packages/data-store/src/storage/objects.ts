// SPDX-License-Identifier: Apache-2.0

/** Bytes of an object: from `start` up to `end`, which is not among them. */
export interface Span {
  start: number
  end: number
}

/** Reads an object from its start on. */
export interface BlockReader {
  /** Fills the block and gives how many bytes came: fewer than it holds only at the end. */
  read(block: Uint8Array): Promise<number>
  close(): Promise<void>
}

/** An object as a listing names it. */
export interface StoredObject {
  oid: string
  size: number
  /** When it came, in milliseconds since 1970. */
  changed: number
}

/**
 * Where LFS objects are kept: each belongs to one repository (by id, so that a move changes nothing) and is named by
 * the sha256 of its content. An object that is there is whole and durable.
 */
export interface LfsObjects {
  /** Bytes of the object, or undefined when it is not here. */
  size(repo: string, oid: string): Promise<number | undefined>
  /** Takes a synced file whose sha256 is `oid`; the file may be gone afterwards. */
  put(repo: string, oid: string, file: string): Promise<void>
  /** Gives another repository the object too. */
  copy(from: string, to: string, oid: string): Promise<void>
  /** Opens a part of the object; undefined when it is not here. */
  open(repo: string, oid: string, span: Span): Promise<BlockReader | undefined>
  remove(repo: string, oid: string): Promise<void>
  list(repo: string): AsyncIterable<StoredObject>
  /** Removes all objects of a repository that is gone. */
  drop(repo: string): Promise<void>
}

export const LFS_OID = /^[0-9a-f]{64}$/

/** `ab/cd/abcd…`, the place of an object below its repository's. Throws for what is no sha256. */
export function objectPath(oid: string): string {
  if (!LFS_OID.test(oid)) throw new Error(`bad LFS object id ${oid}`)
  return `${oid.slice(0, 2)}/${oid.slice(2, 4)}/${oid}`
}
