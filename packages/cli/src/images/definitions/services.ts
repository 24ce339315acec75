// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { debianLayer } from '../debian.ts'
import type { ImageSpec } from '../image.ts'
import type { LayerSpec } from '../layer.ts'
import { LayerFiles } from '../tar.ts'
import { type BuildContext, HOME, MB, ROOT, USER } from './common.ts'
import { embeddingLayer, modelLayer } from './models.ts'

/** All TypeScript services, operators, hooks and nemoctl, with the reference model and the embedding model inside. No shell. */
export async function servicesImage(context: BuildContext): Promise<ImageSpec> {
  return {
    reference: 'localhost/open-nemo/services:0.1.0',
    layers: [
      debianLayer({
        name: 'services-base',
        // The data store keeps its repositories with git, of which it needs no script and no transport.
        packages: ['libstdc++6', 'libgomp1', 'ca-certificates', 'git'],
        skip: (path) => GIT_UNUSED.test(path),
      }),
      nodeLayer(),
      modelLayer(context),
      embeddingLayer(context),
      modulesLayer(),
      await sourcesLayer(),
    ],
    config: {
      Entrypoint: ['/usr/local/bin/node', ...servicesStart('/').args],
      Env: [
        'PATH=/usr/local/bin:/usr/bin:/bin',
        'HOME=/tmp',
        'NODE_ENV=production',
        'NEMO_HOST=0.0.0.0',
        'NEMO_HOME=/data',
        'NEMO_CACHE=/cache',
        `NEMO_MODEL_DIR=/${HOME}/models`,
        'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
      ],
      User: USER,
      WorkingDir: `/${HOME}`,
    },
    limit: 380 * MB,
  }
}

/** What comes along with git: Perl for its scripts, and programs that speak to other servers. */
const GIT_UNUSED =
  /(^|\/)perl|^usr\/lib\/git-core\/(git-(remote-|http-(fetch|push)|imap-send|sh-|send-email|svn|daemon|cvs|archimport|p4|instaweb|filter-branch|quiltimport|request-pull|web--browse|mergetool|difftool)|mergetools)|^usr\/(share\/(gitweb|git-core\/contrib)|sbin|games)/

const NODE_PACKAGE = `node-linux-${process.arch}`

/** Node 24, whose binary the npm registry carries. */
function nodeLayer(): LayerSpec {
  const folder = join(ROOT, 'node_modules', NODE_PACKAGE)
  const version = existsSync(folder)
    ? JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version
    : process.version
  return {
    name: 'node',
    key: JSON.stringify([1, process.arch, version]),
    needBytes: 2e8,
    build: async (files) => {
      const binary = join(folder, 'bin', 'node')
      await files.copy(existsSync(binary) ? binary : process.execPath, 'usr/local/bin/node')
    },
  }
}

interface LockEntry {
  dev?: boolean
  devOptional?: boolean
  link?: boolean
  os?: string[]
  cpu?: string[]
}

/** Files of npm packages that nothing reads at run time. */
const UNUSED =
  /(^|\/)(CHANGELOG|HISTORY|README)[^/]*$|\.(test\.[cm]?[jt]s|d\.[cm]?ts|map|md|markdown|flow)$|(^|\/)(__tests__|tests?|\.github|docs|examples?)(\/|$)/
/** Sources from which the engine could be built anew; its binaries are there. */
const ENGINE_SOURCES = /^llama\/(?!.*\.json$)[^/]+/

/** node_modules as in production: without what only development needs, and for this platform alone. */
function modulesLayer(): LayerSpec {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  return {
    name: 'modules',
    key: JSON.stringify([3, createHash('sha256').update(lock).digest('hex'), process.arch, String(UNUSED)]),
    needBytes: 4e8,
    build: async (files) => {
      const { packages } = JSON.parse(lock) as { packages: Record<string, LockEntry> }
      for (const [path, entry] of Object.entries(packages)) {
        if (path.includes('node_modules/') && wanted(path, entry)) await copyModule(files, path)
      }
    },
  }
}

function wanted(path: string, entry: LockEntry): boolean {
  if (entry.dev || entry.devOptional || entry.link || !existsSync(join(ROOT, path))) return false
  if (/node_modules\/node-linux-/.test(path)) return false
  if (/@node-llama-cpp\//.test(path)) return path.endsWith(`/linux-${process.arch}`)
  return (entry.os?.includes('linux') ?? true) && (entry.cpu?.includes(process.arch) ?? true)
}

async function copyModule(files: LayerFiles, path: string): Promise<void> {
  const engine = path.endsWith('/node-llama-cpp')
  await files.copy(join(ROOT, path), `${HOME}/${path}`, {
    // A module inside a module has an entry of its own in the lock file.
    skip: (inside) =>
      /(^|\/)node_modules(\/|$)/.test(inside) ||
      UNUSED.test(inside) ||
      (engine && ENGINE_SOURCES.test(inside)),
  })
}

const STRIPPED = 'stripped.mjs'
/**
 * The sources of the image have no types left, so Node need not load its own stripper of types, which takes 28 MB in
 * every process and time at every start: this says that they are plain modules.
 */
const STRIPPED_HOOK = `// SPDX-License-Identifier: Apache-2.0
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    return found.url.endsWith('.ts') ? { ...found, format: 'module' } : found
  },
})
`

/** Types become spaces, so that lines and columns stay. */
const stripped = (text: Buffer): Buffer => Buffer.from(stripTypeScriptTypes(text.toString('utf8')))

const SOURCE_SKIP = /(^|\/)(node_modules|testing|__pycache__|\.[^/]+)(\/|$)|\.test\.ts$|\.pyc$/

/** Where the sources are below the root of the image, and the arguments with which Node starts nemoctl there. */
export function servicesStart(root: string): { home: string; args: string[] } {
  const home = join(root, HOME)
  const flags = ['--disable-warning=ExperimentalWarning', `--import=${join(home, STRIPPED)}`]
  return { home, args: [...flags, join(home, 'packages/cli/src/main.ts')] }
}

/** Our own sources, and the links by which packages find each other. */
export async function sourcesLayer(): Promise<LayerSpec> {
  const folders = ['packages', 'trainer', 'deploy/nemo-instances/crds', 'deploy/nemo-infra/crds']
  const there = folders.filter((folder) => existsSync(join(ROOT, folder)))
  const fill = async (files: LayerFiles) => {
    files.file(`${HOME}/${STRIPPED}`, STRIPPED_HOOK)
    files.file(`${HOME}/package.json`, await readFile(join(ROOT, 'package.json')))
    for (const folder of there) {
      await files.copy(join(ROOT, folder), `${HOME}/${folder}`, {
        skip: (path) => SOURCE_SKIP.test(path) || (folder === 'trainer' && /^tests/.test(path)),
        rewrite: (path) => (path.endsWith('.ts') ? stripped : undefined),
      })
    }
    const links = join(ROOT, 'node_modules', '@open-nemo')
    for (const name of await readdir(links)) {
      files.symlink(`${HOME}/node_modules/@open-nemo/${name}`, await readlink(join(links, name)))
    }
    for (const folder of ['data', 'cache', 'tmp']) files.folder(folder, { writable: true })
  }
  return { name: 'sources', key: await fingerprint(fill), needBytes: 1e8, build: fill }
}

/** A digest of every path and content that `fill` puts into a layer. */
export async function fingerprint(fill: (files: LayerFiles) => Promise<void>): Promise<string> {
  const files = new LayerFiles()
  await fill(files)
  const hash = createHash('sha256')
  for (const [path, entry] of files.entries()) {
    hash.update(`${path}\0${entry.type}\0`)
    if (entry.type === 'symlink') hash.update(entry.target)
    if (entry.type === 'file') hash.update('text' in entry ? entry.text : await readFile(entry.source))
  }
  return hash.digest('hex')
}
