// SPDX-License-Identifier: Apache-2.0
import { copyFile, readdir, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { runCommand } from '@open-nemo/runtime/python/index.ts'

/** Small, and really called without a GPU: it is what tells that there is none. */
const KEPT = /^lib(cudart|cupti)\.so/

/**
 * Writes to `target` a library in place of each below `source` that a library in `target` needs: same name, same
 * versioned symbols as far as they are asked for, and no code behind them. Needs gcc and nm.
 */
export async function writeStubs(source: string, target: string): Promise<void> {
  const wanted = new Set<string>()
  for (const library of await libraries(target)) {
    for (const symbol of await symbols(library, '--undefined-only')) wanted.add(nameOf(symbol))
  }
  for (const library of await libraries(source)) {
    const name = basename(library)
    if (KEPT.test(name)) await copyFile(library, join(target, name))
    else {
      const offered = await symbols(library, '--defined-only')
      const needed = offered.filter((symbol) => wanted.has(nameOf(symbol)))
      if (needed.length > 0) await writeStub(join(target, name), name, needed)
    }
  }
}

async function writeStub(path: string, name: string, needed: string[]): Promise<void> {
  const byVersion = new Map<string, string[]>()
  for (const symbol of needed) {
    const version = symbol.split('@').at(-1) ?? ''
    const key = symbol.includes('@') ? version : ''
    byVersion.set(key, [...(byVersion.get(key) ?? []), nameOf(symbol)])
  }
  const labels = [...new Set(needed.map(nameOf))].map(
    (symbol) => `.globl ${symbol}\n.type ${symbol},@function\n${symbol}:\n`,
  )
  const assembly = `${path}.s`
  const script = `${path}.map`
  // A call would end the process at once instead of giving a wrong result.
  const trap = process.arch === 'arm64' ? 'udf #0' : 'ud2'
  await writeFile(assembly, `.text\n${labels.join('')}${trap}\n.section .note.GNU-stack,"",%progbits\n`)
  const args = ['-shared', '-nostdlib', `-Wl,-soname,${name}`, '-o', path, assembly]
  const versions = [...byVersion].filter(([version]) => version)
  if (versions.length > 0) {
    await writeFile(
      script,
      versions.map(([version, names]) => `${version} { ${names.join('; ')}; };\n`).join(''),
    )
    args.push(`-Wl,--version-script=${script}`)
  }
  await runCommand('gcc', args, { env: process.env })
  for (const file of [assembly, script]) await rm(file, { force: true })
}

const nameOf = (symbol: string): string => symbol.split('@')[0] ?? symbol

async function symbols(library: string, which: string): Promise<string[]> {
  const text = await runCommand('nm', ['-D', which, library], { env: process.env })
  return text.split('\n').flatMap((line) => line.trim().split(/\s+/).at(-1) || [])
}

async function libraries(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && /\.so(\.|$)/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}
