// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** Errors of the data store. The first three are spelled for hub clients as RepoNotFound and so on. */
export const dataStoreErrors = defineErrors('data-store', {
  REPO_NOT_FOUND: {
    status: 404,
    message: 'there is no {type} repository {id}',
    hint: 'Create it with create_repo, or check its type: models and datasets are apart',
  },
  REVISION_NOT_FOUND: {
    status: 404,
    message: '{id} has no branch, tag or commit {revision}',
    hint: 'GET …/refs lists its branches and tags',
  },
  ENTRY_NOT_FOUND: {
    status: 404,
    message: '{id} has no {path} at revision {revision}',
    hint: 'GET …/tree/<revision>?recursive=true lists what it has',
  },
  NAMESPACE_NOT_FOUND: {
    status: 404,
    message: 'there is no data store namespace {namespace}',
    hint: 'Create it with POST /v1/datastore/namespaces',
  },
  NAMESPACE_TAKEN: {
    status: 409,
    message: 'the data store namespace {namespace} already exists',
    hint: 'Use it as it is, or choose another name',
  },
  NAMESPACE_NOT_EMPTY: {
    status: 409,
    message: 'the data store namespace {namespace} still holds repositories ({count})',
    hint: 'Delete them first',
  },
  REPO_TAKEN: {
    status: 409,
    message: 'the {type} repository {id} already exists',
    hint: 'Pass exist_ok, or choose another name; names that differ only in case count as one',
  },
  REF_TAKEN: {
    status: 409,
    message: '{id} already has the {kind} {name}',
    hint: 'Pass exist_ok, or delete it first',
  },
  BRANCH_PROTECTED: {
    status: 403,
    message: 'the branch {name} of {id} cannot be deleted',
    hint: 'It is the default branch; delete the repository instead',
  },
  NAME_REFUSED: {
    status: 400,
    message: '{name} is not a {what}',
    hint: 'Use 1 to 96 letters, digits and _.- with no dot or dash at either end and no ..',
  },
  REF_NAME_REFUSED: {
    status: 400,
    message: '{name} is not the name of a branch, tag or commit',
    hint: 'See git check-ref-format for the rules',
  },
  PATH_REFUSED: {
    status: 400,
    message: 'the path {path} is refused: {reason}',
    hint: 'Use a relative path with / between its parts',
  },
  PATH_CLASH: {
    status: 400,
    message: 'the path {path} clashes with {other}: {reason}',
    hint: 'Rename one of them, or delete the other in the same commit',
  },
  NOT_A_FILE: {
    status: 400,
    message: '{path} in {id} is a {kind}, which is never followed',
    hint: 'Replace it by a plain file',
  },
  COMMIT_REFUSED: {
    status: 400,
    message: 'the commit cannot be read: {reason} (line {line})',
    hint: 'The body is NDJSON: a header, then file, lfsFile, copyFile, deletedFile and deletedFolder lines',
  },
  COMMIT_TOO_LARGE: {
    status: 413,
    message: 'the commit has more than {limit} operations',
    hint: 'Split it into several commits',
  },
  PARENT_MOVED: {
    status: 412,
    message: 'the branch {branch} of {id} is at {actual}, not at the parent commit {expected}',
    hint: 'Fetch the branch again and repeat the commit on top of it',
  },
  LFS_MISSING: {
    status: 400,
    message: 'the LFS object {oid} of {path} has not been uploaded',
    hint: 'Upload it through the LFS batch API before the commit',
  },
  LFS_SIZE: {
    status: 400,
    message: 'the LFS object {oid} of {path} has {actual} bytes, not {size}',
    hint: 'Send the size of the uploaded object',
  },
  LFS_MISMATCH: {
    status: 400,
    message: 'the uploaded bytes have sha256 {actual}, not {oid}',
    hint: 'Upload the object again; nothing of this attempt was kept',
  },
  LFS_OID_REFUSED: {
    status: 400,
    message: '{oid} is not the id of an LFS object',
    hint: 'Use the sha256 of the content, 64 hexadecimal digits in lower case',
  },
  LFS_ALGORITHM: {
    status: 409,
    message: 'hash_algo {value} is not what LFS objects are named by here',
    hint: 'Leave hash_algo out, or send "sha256" with the sha256 of each object as its oid',
  },
  LFS_NOT_FOUND: {
    status: 404,
    message: 'the LFS object {oid} is not in {id}',
    hint: 'Upload it through the LFS batch API',
  },
  UPLOAD_CUT_SHORT: {
    status: 400,
    message: 'the body ended early: {received} of {expected} bytes came',
    hint: 'Send it again; nothing of this attempt was kept',
  },
  RANGE_REFUSED: {
    status: 416,
    message: 'the range {range} lies outside of the file, which has {size} bytes',
    hint: 'Start below the size',
  },
  FILE_NOT_FOUND: {
    status: 404,
    message: 'there is no file {id}',
    hint: 'GET /v1/files lists those that exist',
  },
  GIT_DUMB: {
    status: 403,
    message: '{id} is served to git by its smart protocol only',
    hint: 'Use git 1.6.6 or newer: git clone <address of the repository>',
  },
  GIT_ENCODING: {
    status: 400,
    message: 'the body is not the gzip that its Content-Encoding says: {reason}',
    hint: 'Send it whole, or without Content-Encoding',
  },
  GIT_TOO_LARGE: {
    status: 413,
    message: 'the compressed request of git is larger than {limit} bytes when unpacked',
    hint: 'Fetch or push fewer branches at once',
  },
  QUOTA_EXCEEDED: {
    status: 413,
    message: '{what} holds {used} of at most {allowed} bytes, and {more} more were to come',
    hint: 'Delete files that are not needed (their space is free after the next collection of garbage), or raise NEMO_DATA_STORE_QUOTA_*',
  },
  STORAGE_UNAVAILABLE: {
    status: 503,
    message: 'the object storage of LFS objects does not answer as it should: {reason}',
    hint: 'Repeat the request; when it goes on, check NEMO_DATA_STORE_S3_* and that the server runs',
  },
  STORE_FULL: {
    status: 507,
    message: 'the data store has no room left on its disk',
    hint: 'Delete repositories or enlarge the disk, then repeat the upload',
  },
})
