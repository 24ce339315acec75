// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { assemble, type Image } from './image.ts'
import { writeLayer } from './layer.ts'
import { pushImage, RegistryError, referenceAt } from './push.ts'
import { LayerFiles } from './tar.ts'

/** A registry in memory that checks digests and, with `token`, wants one from its token server. */
class Registry {
  readonly blobs = new Map<string, Buffer>()
  readonly manifests = new Map<string, Buffer>()
  uploads = 0
  token: string | undefined
  readonly server: Server = createServer((req, res) => void this.#answer(req, res))

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '', 'http://registry')
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const end = (status: number, headers: Record<string, string> = {}, text = '') =>
      res.writeHead(status, headers).end(text)
    if (url.pathname === '/token') {
      const user = Buffer.from('robot:s3cret: ü').toString('base64')
      if (req.headers.authorization !== `Basic ${user}`) return void end(401, {}, 'who are you')
      assert.equal(url.searchParams.get('scope'), 'repository:mirror/open-nemo/tiny:pull,push')
      return void end(200, {}, JSON.stringify({ token: this.token }))
    }
    if (this.token && req.headers.authorization !== `Bearer ${this.token}`) {
      const realm = `http://${req.headers.host}/token`
      return void end(401, { 'www-authenticate': `Bearer realm="${realm}",service="registry"` })
    }
    const digest = url.searchParams.get('digest') ?? url.pathname.split('/').at(-1) ?? ''
    if (req.method === 'HEAD') return void end(this.blobs.has(digest) ? 200 : 404)
    if (req.method === 'POST') return void end(202, { location: `${url.pathname}session?state=a` })
    if (url.pathname.includes('/manifests/')) {
      const { config, layers } = JSON.parse(body.toString())
      const missing = [config, ...layers].filter((each) => !this.blobs.has(each.digest))
      if (missing.length > 0) return void end(400, {}, 'MANIFEST_BLOB_UNKNOWN')
      this.manifests.set(url.pathname, body)
      return void end(201)
    }
    assert.equal(url.searchParams.get('state'), 'a')
    if (digest !== `sha256:${createHash('sha256').update(body).digest('hex')}`)
      return void end(400, {}, 'DIGEST_INVALID')
    this.uploads++
    this.blobs.set(digest, body)
    end(201)
  }
}

let dir = ''
let image: Image
let registry: Registry
let host = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-push-'))
  const path = join(dir, 'layer.tar.gz')
  const layer = { path, ...(await writeLayer(new LayerFiles().file('hello', 'world'), path)) }
  image = assemble({ reference: 'localhost/open-nemo/tiny:1', config: { User: '1000:0' } }, [layer])
  registry = new Registry()
  host = await registry.listen()
})
afterEach(async () => {
  registry.server.closeAllConnections()
  registry.server.close()
  await rm(dir, { recursive: true, force: true })
})

describe('pushing', () => {
  it('sends layers, configuration and manifest, and nothing twice', async () => {
    const pushed = await pushImage(image, { registry: `${host}/mirror` })
    assert.equal(pushed, `${host}/mirror/open-nemo/tiny:1`)
    assert.deepEqual(registry.manifests.get('/v2/mirror/open-nemo/tiny/manifests/1'), image.manifest.data)
    assert.equal(registry.uploads, 2)
    await pushImage(image, { registry: `${host}/mirror` })
    assert.equal(registry.uploads, 2)
  })

  it('fetches a token with user and password when it is asked to', async () => {
    registry.token = 'abc'
    await pushImage(image, { registry: `${host}/mirror`, username: 'robot', password: 's3cret: ü' })
    assert.equal(registry.manifests.size, 1)
  })

  it('says what to check when the registry refuses, and when it does not answer', async () => {
    registry.token = 'abc'
    const wrong = { registry: `${host}/mirror`, username: 'robot', password: 'wrong' }
    await assert.rejects(pushImage(image, wrong), (error: Error) => {
      assert.ok(error instanceof RegistryError)
      assert.match(error.message, /logging in.*401.*NEMO_REGISTRY_PASSWORD/)
      return true
    })
    await assert.rejects(pushImage(image, { registry: '127.0.0.1:1' }), /does not answer/)
  })

  it('replaces the host of a reference and keeps its path', () => {
    assert.equal(
      referenceAt('docker.io/library/postgres:17', 'r.example/m'),
      'r.example/m/library/postgres:17',
    )
  })
})
