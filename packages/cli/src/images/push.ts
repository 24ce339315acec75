// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { Blob, Image } from './image.ts'

/** A registry refused something; the message says what and, where it can be told, what to do. */
export class RegistryError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'RegistryError'
  }
}

export interface RegistryOptions {
  /** Host, with a path where repositories are below one: `registry.example/mirror`. */
  registry: string
  username?: string
  password?: string
  /** Plain HTTP; on by itself for loopback addresses. */
  insecure?: boolean
  onProgress?: (message: string) => void
}

/** `localhost/open-nemo/services:0.1.0` -> `registry.example/mirror/open-nemo/services:0.1.0`, as global.imageRegistry does. */
export function referenceAt(reference: string, registry: string): string {
  return [registry, ...reference.split('/').slice(1)].join('/')
}

/** Pushes an image through the OCI distribution API. What the registry has is not sent again. */
export async function pushImage(image: Image, options: RegistryOptions): Promise<string> {
  const reference = referenceAt(image.reference, options.registry)
  const [host = '', ...path] = reference.split('/')
  const [name = '', tag = 'latest'] = path.join('/').split(':')
  const client = registryClient(host, name, options)
  for (const layer of image.layers) {
    if (await client.has(layer.digest)) continue
    options.onProgress?.(`${reference}: layer of ${(layer.size / 1e6).toFixed(1)} MB`)
    await client.upload(
      layer.digest,
      layer.size,
      () => Readable.toWeb(createReadStream(layer.path)) as ReadableStream,
    )
  }
  if (!(await client.has(image.config.digest))) {
    await client.upload(image.config.digest, image.config.size, () => image.config.data)
  }
  await client.manifest(tag, image.manifest)
  return reference
}

type Body = Buffer | ReadableStream

function registryClient(host: string, name: string, options: RegistryOptions) {
  const plain = options.insecure ?? /^(localhost|127\.|\[::1\])/.test(host)
  const base = `${plain ? 'http' : 'https'}://${host}/v2/${name}`
  let authorization = ''

  const send = async (
    url: string,
    init: { method: string; headers?: Record<string, string>; body?: () => Body },
  ) => {
    const attempt = () =>
      fetch(url, {
        method: init.method,
        headers: { ...init.headers, ...(authorization ? { authorization } : {}) },
        ...(init.body ? { body: init.body() as BodyInit, duplex: 'half' } : {}),
      } as RequestInit)
    let response: Response
    try {
      response = await attempt()
      if (response.status === 401) {
        authorization = await authorize(response.headers.get('www-authenticate') ?? '', name, options)
        response = await attempt()
      }
    } catch (cause) {
      if (cause instanceof RegistryError) throw cause
      throw new RegistryError(
        `${host} does not answer: is it the registry's address, and does it speak ${plain ? 'HTTP' : 'HTTPS'}?`,
        { cause },
      )
    }
    return response
  }

  return {
    has: async (digest: string): Promise<boolean> => {
      const response = await send(`${base}/blobs/${digest}`, { method: 'HEAD' })
      if (response.status === 200) return true
      if (response.status === 404) return false
      throw await refusal(response, `asking ${host} for a layer of ${name}`)
    },
    upload: async (digest: string, size: number, body: () => Body): Promise<void> => {
      const begun = await send(`${base}/blobs/uploads/`, { method: 'POST' })
      const location = begun.headers.get('location')
      await begun.body?.cancel()
      if (begun.status !== 202 || !location)
        throw await refusal(begun, `beginning an upload of ${name} to ${host}`)
      const url = new URL(location, base)
      url.searchParams.set('digest', digest)
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) }
      const done = await send(url.href, { method: 'PUT', headers, body })
      if (done.status !== 201) throw await refusal(done, `uploading a layer of ${name} to ${host}`)
      await done.body?.cancel()
    },
    manifest: async (tag: string, manifest: Blob): Promise<void> => {
      const headers = { 'content-type': manifest.mediaType }
      const done = await send(`${base}/manifests/${tag}`, {
        method: 'PUT',
        headers,
        body: () => manifest.data,
      })
      if (done.status !== 201) throw await refusal(done, `tagging ${name}:${tag} at ${host}`)
      await done.body?.cancel()
    },
  }
}

/** The header that a registry's challenge asks for: basic, or a token from its token server. */
async function authorize(challenge: string, name: string, options: RegistryOptions): Promise<string> {
  const { username, password } = options
  const basic =
    username !== undefined
      ? `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`
      : undefined
  if (/^basic/i.test(challenge)) {
    if (!basic)
      throw new RegistryError(
        `${options.registry} wants a user: give --username, and the password in NEMO_REGISTRY_PASSWORD`,
      )
    return basic
  }
  const field = (key: string) => new RegExp(`${key}="([^"]*)"`).exec(challenge)?.[1]
  const realm = field('realm')
  if (!realm) throw new RegistryError(`${options.registry} refuses without saying how to log in`)
  const url = new URL(realm)
  const service = field('service')
  if (service) url.searchParams.set('service', service)
  url.searchParams.set('scope', `repository:${name}:pull,push`)
  const response = await fetch(url, basic ? { headers: { authorization: basic } } : {})
  if (!response.ok) throw await refusal(response, `logging in to ${options.registry}`)
  const { token, access_token } = (await response.json()) as { token?: string; access_token?: string }
  return `Bearer ${token ?? access_token ?? ''}`
}

async function refusal(response: Response, doing: string): Promise<RegistryError> {
  const text = await response.text().catch(() => '')
  const hint =
    response.status === 401 || response.status === 403
      ? '. Check --username and NEMO_REGISTRY_PASSWORD, and that the user may push there'
      : ''
  return new RegistryError(
    `${doing} failed with ${response.status}: ${text.slice(0, 300) || response.statusText}${hint}`,
  )
}
