// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/** The repository in which files of OpenAI's API lie, each as `<file id>/<file name>`. */
export const FILES_REPO = 'openai/files'

/** A file of OpenAI's API; `bytes` is its size, `created_at` and `expires_at` seconds since 1970. */
export const fileObject = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: z.int(),
  /** When it goes by itself; null for never. */
  expires_at: z.int().nullish(),
  filename: z.string(),
  purpose: z.string(),
  status: z.literal('processed'),
})
export type FileObject = z.infer<typeof fileObject>

export const fileList = z.object({
  object: z.literal('list'),
  data: z.array(fileObject),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
})

export const fileDeleted = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })

/** Where the content of a file is, as a `files_url`. */
export const filesUrlOf = (file: Pick<FileObject, 'id' | 'filename'>) =>
  `hf://datasets/${FILES_REPO}/${file.id}/${file.filename}`
