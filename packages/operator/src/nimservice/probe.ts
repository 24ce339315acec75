// SPDX-License-Identifier: Apache-2.0

/** What a NIM said of itself. */
export interface ModelAnswer {
  name: string
}

const TIMEOUT_MS = 10_000

/** The model that a NIM serves, by GET /v1/models; a NIM without that path is asked for its metadata. */
export async function askModel(url: string, fetcher: typeof fetch = fetch): Promise<ModelAnswer> {
  const get = (path: string) => fetcher(url + path, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  const response = await get('/v1/models')
  if (response.status === 404) {
    await response.arrayBuffer()
    return { name: await metadataName(await get('/v1/metadata')) }
  }
  if (!response.ok) throw new Error(`GET ${url}/v1/models answered ${response.status}`)
  const { data = [] } = (await response.json()) as { data?: { id?: string; root?: string }[] }
  const base = data.find((each) => each.id === each.root) ?? data[0]
  if (!base?.id) throw new Error(`GET ${url}/v1/models lists no model yet`)
  return { name: base.id }
}

async function metadataName(response: Response): Promise<string> {
  if (!response.ok) return ''
  const { modelInfo } = (await response.json()) as { modelInfo?: { shortName?: string }[] }
  return modelInfo?.[0]?.shortName ?? ''
}
