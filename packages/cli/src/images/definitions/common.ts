// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureUv, indexArguments, runCommand } from '@open-nemo/runtime/python/index.ts'
import { debianLayer } from '../debian.ts'
import type { LayerSpec } from '../layer.ts'
import type { LayerFiles } from '../tar.ts'

/** The checkout that images are made from. */
export const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url))
export const MB = 1e6
/** Where our code is in every image of ours. */
export const HOME = 'opt/open-nemo'
/** Any user of group 0: the number only says that it is not root. */
export const USER = '1000:0'
export const PATH = 'PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin'

export interface BuildContext {
  cacheDir: string
  /** Index with PyTorch's wheels in place of PyPI's. */
  torchIndex?: string
}

/** Python 3.11 of Debian with what scientific wheels link to; no shell. */
export const pythonLayer = (): LayerSpec =>
  debianLayer({
    name: 'python',
    packages: ['python3', 'libgomp1', 'libstdc++6', 'ca-certificates'],
    skip: (path) => /^usr\/lib\/python3(\.11)?\/(test|idlelib|tkinter|turtledemo|ensurepip)(\/|$)/.test(path),
  })

export interface SiteOptions {
  name: string
  /** Arguments of `pip install` that name packages. */
  packages: string[]
  /** Files that decide what is installed. */
  keyFiles: string[]
  context: BuildContext
  needBytes: number
  skip?: (path: string) => boolean
  /** Works on the installed folder before it is packed. */
  prepare?: (site: string, files: LayerFiles) => Promise<void>
}

const SITE_RECIPE = 1

/** A layer with a virtual environment at /opt/venv, with packages from PyPI for the image's Python. */
export function siteLayer(options: SiteOptions): LayerSpec {
  const { name, packages, keyFiles, context, needBytes } = options
  const hash = createHash('sha256')
  for (const file of keyFiles) hash.update(readFileSync(file))
  return {
    name,
    key: JSON.stringify([
      SITE_RECIPE,
      hash.digest('hex'),
      process.arch,
      context.torchIndex,
      String(options.prepare),
    ]),
    needBytes,
    build: async (files, tmp, tell) => {
      const uv = await ensureUv(context.cacheDir, process.env, tell)
      const site = join(tmp, 'site')
      await mkdir(site)
      const env = {
        ...process.env,
        ...(context.torchIndex ? { NEMO_PIP_EXTRA_INDEX_URL: context.torchIndex } : {}),
      }
      tell({ message: `installing the packages of ${name}` })
      const where = ['--target', site, '--python-version', '3.11', '--no-compile-bytecode']
      await runCommand(uv, ['pip', 'install', '--quiet', ...where, ...indexArguments(env), ...packages], {
        env,
      })
      await options.prepare?.(site, files)
      const lib = 'opt/venv/lib/python3.11/site-packages'
      const unused = /(^|\/)(__pycache__|tests?)(\/|$)|\.(pyc|pyi|a|h|hpp|cuh)$/
      await files.copy(site, lib, {
        skip: (path) =>
          /^(bin|share|etc)(\/|$)/.test(path) || unused.test(path) || (options.skip?.(path) ?? false),
      })
      await scripts(site, files)
      for (const folder of ['share', 'etc']) {
        if ((await readdir(site)).includes(folder)) await files.copy(join(site, folder), `opt/venv/${folder}`)
      }
      files.file(
        'opt/venv/pyvenv.cfg',
        'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n',
      )
      for (const link of ['python', 'python3', 'python3.11'])
        files.symlink(`opt/venv/bin/${link}`, '/usr/bin/python3.11')
    },
  }
}

/** The commands of packages, which then start the image's Python. */
async function scripts(site: string, files: LayerFiles): Promise<void> {
  const names = await readdir(join(site, 'bin')).catch(() => [] as string[])
  if (names.length === 0) return
  await files.copy(join(site, 'bin'), 'opt/venv/bin', {
    rewrite: () => (text) => {
      if (text.subarray(0, 2).toString() !== '#!') return text
      const end = text.indexOf('\n')
      return Buffer.concat([Buffer.from('#!/opt/venv/bin/python'), text.subarray(end)])
    },
  })
}

/** Fetches a package from the npm registry into `tmp` and gives its folder. */
export async function npmPackage(spec: string, tmp: string): Promise<string> {
  const out = await runCommand('npm', ['pack', '--silent', '--pack-destination', tmp, spec], {
    env: process.env,
  })
  const folder = join(tmp, `npm-${spec.replaceAll(/[^\w.-]/g, '-')}`)
  await mkdir(folder)
  await runCommand('tar', ['-xzf', join(tmp, out.trim()), '-C', folder, '--strip-components=1'], {
    env: process.env,
  })
  return folder
}
