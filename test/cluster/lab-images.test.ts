// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { saveArchive } from '../../packages/cli/src/images/archive.ts'
import { LAB_IMAGES, OWN_IMAGES } from '../../packages/cli/src/images/definitions/index.ts'
import { ensureImage, type Image } from '../../packages/cli/src/images/image.ts'
import { ensurePackages } from '../../packages/cli/src/lab/commands.ts'

const cacheDir =
  process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
const reason = process.platform !== 'linux' || process.getuid?.() !== 0 ? 'needs Linux and root' : false
const tell = ({ message }: { message: string }) => console.log(message)

const listings = new Map<string, string[]>()

/** Names and modes of everything in an image, as tar sees it. */
function listing(image: Image): string[] {
  return image.layers.flatMap((layer) => {
    const known = listings.get(layer.digest)
    if (known) return known
    const lines = execFileSync('tar', ['-tvzf', layer.path], { encoding: 'utf8', maxBuffer: 1 << 28 })
    listings.set(layer.digest, lines.trim().split('\n'))
    return listings.get(layer.digest) ?? []
  })
}

describe('the images', { skip: reason }, () => {
  const images = new Map<string, { image: Image; limit: number }>()
  let dir = ''

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-images-'))
    await ensurePackages(tell)
    for (const [name, definition] of Object.entries({ ...OWN_IMAGES, ...LAB_IMAGES })) {
      const spec = await definition({ cacheDir })
      images.set(name, { image: await ensureImage(cacheDir, spec, tell), limit: spec.limit })
    }
  })
  after(() => rm(dir, { recursive: true, force: true }))

  it('keep their size limits', () => {
    for (const [name, { image, limit }] of images) {
      assert.ok(image.size <= limit, `${name} has ${image.size} bytes, its limit is ${limit}`)
    }
  })

  it('of ours name a numeric user that is not root', () => {
    for (const name of Object.keys(OWN_IMAGES)) {
      const { config } = JSON.parse(images.get(name)?.image.config.data.toString() ?? '{}')
      assert.match(config.User, /^[1-9]\d*:0$/, name)
    }
  })

  it('hold nothing that others than root and its group may write, and no set-user-ID program', () => {
    for (const [name, { image }] of images) {
      // Links have all rights in the archive; what counts is where they lead.
      const loose = listing(image).filter(
        (line) => !line.startsWith('l') && /^.(..s|.....s|.......w)/.test(line),
      )
      assert.deepEqual(loose, [], name)
    }
  })

  it('of services and trainer have no shell', () => {
    for (const name of ['services', 'trainer']) {
      const image = images.get(name)?.image
      assert.ok(image)
      const shells = listing(image).filter((line) => / (usr\/)?bin\/(ba|da|z|a)?sh( |$)/.test(line))
      assert.deepEqual(shells, [], name)
    }
  })

  it('of services hold neither tests nor what only development needs', () => {
    const image = images.get('services')?.image
    assert.ok(image)
    const names = listing(image).map((line) => line.split(/\s+/)[5] ?? '')
    assert.ok(names.includes('opt/open-nemo/packages/cli/src/main.ts'))
    assert.ok(names.some((name) => name.startsWith('opt/open-nemo/models/') && name.endsWith('.gguf')))
    const unwanted = names.filter((name) =>
      /\.test\.ts$|node_modules\/(@biomejs|typescript|autocannon)\//.test(name),
    )
    assert.deepEqual(unwanted, [])
  })

  it('are saved as an archive whose index names them', async () => {
    const { image } = images.get('minio') ?? {}
    assert.ok(image)
    const path = join(dir, 'minio.tar')
    await saveArchive([image], path)
    const read = (name: string) =>
      execFileSync('tar', ['-xOf', path, name], { encoding: 'utf8', maxBuffer: 1 << 28 })
    const [entry] = JSON.parse(read('index.json')).manifests
    assert.equal(entry.annotations['io.containerd.image.name'], image.reference)
    const manifest = JSON.parse(read(`blobs/${entry.digest.replace(':', '/')}`))
    assert.equal(manifest.layers.length, image.layers.length)
  })
})
