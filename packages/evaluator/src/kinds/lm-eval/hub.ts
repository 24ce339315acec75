// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

/** One place that speaks the protocol of the Hugging Face Hub. */
export interface Hub {
  url: string
  token: string | undefined
}

export interface HubContext {
  fetch: typeof globalThis.fetch
  signal: AbortSignal
  /** In the order in which they are asked for a repository; all of it then comes from one of them. */
  hubs: readonly Hub[]
  chosen: Map<string, Hub>
  /** Where a hub sent the child process, by a name that cannot be guessed. */
  away: Map<string, string>
}

const PASSED_ON = ['accept', 'range', 'if-none-match', 'user-agent', 'content-type']
const GIVEN_BACK = [
  'content-type',
  'content-length',
  'content-range',
  'accept-ranges',
  'etag',
  'last-modified',
  'x-repo-commit',
  'x-linked-size',
  'x-linked-etag',
  'x-error-code',
  'x-error-message',
]
const REPOSITORY = /^\/(?:api\/(datasets|models|spaces)\/|(datasets|spaces)\/|)([\w.-]+\/[\w.-]+)(?=\/|$)/

/** The hubs that a job reads from: the one its config names, or the Data Store and then the hub of this evaluator. */
export function hubsOf(args: {
  dataStoreUrl: string
  env: Record<string, string | undefined>
  endpoint: string | undefined
  token: string | undefined
}): Hub[] {
  const { env, token } = args
  const bare = (url: string) => url.replace(/\/+$/, '')
  if (args.endpoint) return [{ url: bare(args.endpoint), token }]
  return [
    { url: `${bare(args.dataStoreUrl)}/v1/hf`, token: undefined },
    { url: bare(env.HF_ENDPOINT || 'https://huggingface.co'), token },
  ]
}

/** Passes a request of a hub's client on, and what the hub sends elsewhere too. */
export async function answerHub(
  ctx: HubContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').slice('/hub'.length)
  const elsewhere = path.startsWith('/away/') ? ctx.away.get(path.slice('/away/'.length)) : undefined
  if (!elsewhere && path.startsWith('/away/')) {
    response.statusCode = 404
    response.end()
    return
  }
  const hub = elsewhere ? undefined : await hubFor(ctx, path)
  const url = elsewhere ?? `${hub?.url}${path}`
  const headers = passedOn(request, hub)
  const method = request.method ?? 'GET'
  const body = method === 'POST' ? await buffer(request) : undefined
  const found = await ctx.fetch(url, {
    method,
    headers,
    redirect: 'manual',
    signal: ctx.signal,
    ...(body ? { body } : {}),
  })
  response.statusCode = found.status
  giveBack(ctx, { found, hub, url, here: `http://${request.headers.host}/hub` }, response)
  if (method === 'HEAD' || !found.body) {
    response.end()
    return
  }
  await pipeline(Readable.fromWeb(found.body as Parameters<typeof Readable.fromWeb>[0]), response)
}

function passedOn(request: IncomingMessage, hub: Hub | undefined): Record<string, string> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  for (const name of PASSED_ON) {
    const value = request.headers[name]
    if (typeof value === 'string') headers[name] = value
  }
  if (hub?.token) headers.authorization = `Bearer ${hub.token}`
  return headers
}

function giveBack(
  ctx: HubContext,
  from: { found: Response; hub: Hub | undefined; url: string; here: string },
  response: ServerResponse,
): void {
  const { found, hub, url, here } = from
  for (const name of GIVEN_BACK) {
    const value = found.headers.get(name)
    if (value !== null) response.setHeader(name, value)
  }
  if (found.headers.get('content-encoding')) response.removeHeader('content-length')
  const location = found.headers.get('location')
  if (location) response.setHeader('location', wayTo(ctx, hub, new URL(location, url).href))
  const link = found.headers.get('link')
  if (link && hub) response.setHeader('link', nextPages(link, hub, here))
}

/** Where the forwarder answers for a URL that a hub named. */
function wayTo(ctx: HubContext, hub: Hub | undefined, url: string): string {
  if (hub && url.startsWith(`${hub.url}/`)) return `/hub${url.slice(hub.url.length)}`
  const name = randomBytes(18).toString('base64url')
  ctx.away.set(name, url)
  return `/hub/away/${name}`
}

/** Further pages are asked for here; what leads to other protocols is left out. */
function nextPages(link: string, hub: Hub, here: string): string {
  return link
    .split(/,\s*(?=<)/)
    .filter((one) => /rel="?next/.test(one))
    .map((one) => one.replace(`<${hub.url}/`, `<${here}/`))
    .join(', ')
}

/** The hub that has a repository; the last one when none says so, so that its error is told. */
async function hubFor(ctx: HubContext, path: string): Promise<Hub | undefined> {
  const last = ctx.hubs.at(-1)
  const found = REPOSITORY.exec(path)
  const id = found?.[3]
  if (ctx.hubs.length < 2 || !id) return last
  const key = `${found[1] ?? found[2] ?? 'models'}/${id}`
  let hub = ctx.chosen.get(key)
  if (!hub) {
    hub = last
    for (const one of ctx.hubs.slice(0, -1)) {
      const answer = await ctx.fetch(`${one.url}/api/${key}`, { signal: ctx.signal }).catch(() => undefined)
      await answer?.arrayBuffer()
      if (answer?.ok) {
        hub = one
        break
      }
    }
    if (hub) ctx.chosen.set(key, hub)
  }
  return hub
}
