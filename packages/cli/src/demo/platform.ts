// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { UpstreamError } from '@open-nemo/contract'
import { createCustomizationClient } from '@open-nemo/contract/customization/client.ts'
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'

/** Something about the demo's run that its user can understand and act on. */
export class DemoError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DemoError'
  }
}

export interface PlatformUrls {
  platform: string
  dataStore: string
  nim: string
}

export type Clients = ReturnType<typeof connect>

/** Clients of a running platform, over HTTP as any user's program. */
export function connect(urls: PlatformUrls) {
  return {
    nim: urls.nim,
    dataStore: createDataStoreClient({ baseUrl: urls.dataStore, fetch, userAgent: 'nemoctl-demo' }),
    entities: createEntityStoreClient({ baseUrl: urls.platform }),
    customization: createCustomizationClient({ baseUrl: urls.platform }),
  }
}

/** Waits until the NIM lists a model. Throws DemoError when it does not within `limitMs`. */
export async function waitUntilServed(nim: string, model: string, limitMs: number): Promise<void> {
  const end = Date.now() + limitMs
  for (;;) {
    const { data } = await json<{ data: { id: string }[] }>(`${nim}/v1/models`)
    if (data.some((each) => each.id === model)) return
    if (Date.now() > end) throw new DemoError(`the NIM does not list ${model} after ${limitMs / 1000} s`)
    await sleep(500)
  }
}

/** The model's answer to one question, always the same (temperature 0). */
export async function ask(nim: string, model: string, question: string, maxTokens: number): Promise<string> {
  const answer = await json<{ choices: { message: { content: string | null } }[] }>(
    `${nim}/v1/chat/completions`,
    {
      model,
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      seed: 0,
      max_tokens: maxTokens,
    },
  )
  return answer.choices[0]?.message.content?.trim() ?? ''
}

/** GETs JSON, or POSTs a body. Throws UpstreamError with what the platform said. */
export async function json<T>(url: string, body?: unknown): Promise<T> {
  const response = await fetch(
    url,
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
  )
  const text = await response.text()
  if (!response.ok) throw new UpstreamError({ status: response.status, url, body: text })
  return JSON.parse(text) as T
}

/** Runs `task` for every item, `limit` at a time, and gives the results in the items' order. */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await task(items[at] as T)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  return results
}
