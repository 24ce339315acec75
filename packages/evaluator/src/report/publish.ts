// SPDX-License-Identifier: Apache-2.0
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { parseFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import type { Database } from '@open-nemo/runtime'
import type { DataContext } from '../data/source.ts'
import type { Job } from '../jobs/types.ts'
import { filesOfJob } from './files.ts'

/** Commits the files of a job's download where its `output_files_url` says, making the repository when it is not there. */
export async function publishFiles(db: Database, data: DataContext, job: Job, url: string): Promise<void> {
  const ref = parseFilesUrl(url, 'output_files_url')
  const client = createDataStoreClient({ baseUrl: data.dataStoreUrl, fetch: data.fetch })
  const repo = { type: ref.type, id: ref.id }
  await client.createRepo({ ...repo, existOk: true })
  const files = []
  for await (const { path, content } of filesOfJob(db, job)) {
    files.push({ path: ref.path ? `${ref.path}/${path}` : path, content: () => streamOf(content) })
  }
  await client.commit({ ...repo, branch: ref.revision ?? 'main', message: `Evaluation ${job.id}`, files })
}

function streamOf(content: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const pieces = content[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const next = await pieces.next()
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    },
  })
}
