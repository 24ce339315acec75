// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDataStoreClient, type DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import type { App, ServiceContext } from '@open-nemo/runtime'
import { localFile } from '@open-nemo/runtime/catalogue/local-files.ts'

type Model = ServiceContext['catalogue']['models'][number]

const RETRY_MS = 5000

/**
 * Publishes the catalogue models whose files came with the container image, so that a NIMCache finds them in this
 * store without a way out of the cluster. A repository that is there, whoever made it, is left as it is.
 */
export function seedModels(ctx: ServiceContext, app: App): { stop(): Promise<void> } {
  if (!ctx.env.NEMO_MODEL_DIR) return { stop: async () => undefined }
  const stopping = new AbortController()
  const client = createDataStoreClient({
    baseUrl: 'http://localhost',
    fetch: async (input, init) => app.fetch(new Request(input as string, init)),
  })
  async function all(): Promise<void> {
    for (const model of ctx.catalogue.models) {
      const path = model.kind === 'gguf' ? await localFile(ctx, model) : undefined
      if (path) await seed({ client, model, path, signal: stopping.signal })
    }
  }
  async function untilDone(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        return await all()
      } catch (err) {
        if (!stopping.signal.aborted) ctx.log.warn({ err }, 'the models of the image are not published yet')
      }
      await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const working = untilDone()
  return {
    async stop() {
      stopping.abort()
      await working
    },
  }
}

async function seed(args: { client: DataStoreClient; model: Model; path: string; signal: AbortSignal }) {
  const { client, model, path, signal } = args
  const repo = { type: 'model' as const, id: model.id }
  await client.createRepo({ ...repo, existOk: true })
  const there = await client.listTree({ ...repo, recursive: true }).catch(() => [])
  const name = basename(path)
  // Only a repository without files is filled: others belong to whoever filled them.
  if (there.some((entry) => entry.path.endsWith('.gguf') || entry.path.endsWith('.safetensors'))) return
  await client.commit({
    ...repo,
    message: 'The model of the container image',
    signal,
    files: [
      { path: 'README.md', content: card(model) },
      { path: name, content: () => Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array> },
    ],
  })
}

function card(model: Model): string {
  const head = [
    '---',
    `license: ${model.license}`,
    'library_name: gguf',
    'pipeline_tag: text-generation',
    '---',
  ]
  return `${head.join('\n')}\n\n# ${model.id}\n\n${model.description}.\n`
}
