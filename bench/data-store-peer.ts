// SPDX-License-Identifier: Apache-2.0
// Started by data-store.ts: the least that a hub's client can be served by. It throws away what is uploaded, and gives
// back one file; no hash, no repository, no check. Whatever is slower than against this is the data store's own doing.
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

const [source = ''] = process.argv.slice(2)
const COMMIT = '0'.repeat(40)
const BLOCK = 1024 * 1024

const server = createServer((request, response) => {
  answer(request, response).catch((err: Error) => response.destroy(err))
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '/' } = request
  const json = (body: unknown) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  if (method === 'PUT') {
    request.resume()
    request.once('end', () => response.end())
    return
  }
  if (url.includes('/resolve/')) return give(method, response)
  const body = await text(request)
  const base = `http://${request.headers.host}`
  if (url.endsWith('/repos/create')) return json({ url: `${base}/datasets/bench/large` })
  if (url.includes('/preupload/'))
    return json({
      files: JSON.parse(body).files.map(({ path }: File) => ({
        path,
        uploadMode: 'lfs',
        shouldIgnore: false,
      })),
    })
  if (url.endsWith('/objects/batch')) {
    const objects = JSON.parse(body).objects.map(({ oid, size }: { oid: string; size: number }) => ({
      oid,
      size,
      actions: { upload: { href: `${base}/put/${oid}` } },
    }))
    return json({ transfer: 'basic', objects })
  }
  if (method === 'GET') return json({ id: 'bench/large' })
  json({ commitUrl: `${base}/datasets/bench/large/commit/${COMMIT}`, commitOid: COMMIT })
}

interface File {
  path: string
}

function give(method: string | undefined, response: ServerResponse): void {
  const { size } = statSync(source)
  response.writeHead(200, { 'content-length': size, etag: '"peer"', 'x-repo-commit': COMMIT })
  if (method === 'HEAD') response.end()
  else createReadStream(source, { highWaterMark: BLOCK }).pipe(response)
}
