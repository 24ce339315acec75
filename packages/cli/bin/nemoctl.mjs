#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Runs the TypeScript sources with Node 24, which comes from the npm registry; the Node that started this may be 18 or 20.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const main = join(dirname(fileURLToPath(import.meta.url)), '..', 'src', 'main.ts')

function findNode() {
  try {
    const name = `node-${process.platform}-${process.arch}`
    const path = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node')
    if (existsSync(path)) return path
  } catch {
    // No such package for this system: its own Node has to do.
  }
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  console.error(
    `nemoctl needs Node 24. This is Node ${process.versions.node}, and node_modules holds none for ` +
      `${process.platform}-${process.arch}: run \`npm ci\` in the repository, or put Node 24 on the PATH.`,
  )
  process.exit(1)
}

// Keeping what Node made of the sources takes a third off the start.
const cache =
  process.env.NEMO_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
const env = { NODE_COMPILE_CACHE: join(cache, 'node'), ...process.env }

// The channel tells the child when this process is killed, so that it never outlives its terminal.
// An operator's garbage is small: without this its young generation alone would grow to 64 MB.
const flags = process.argv[2] === 'operator' ? ['--max-semi-space-size=1'] : []
const args = ['--disable-warning=ExperimentalWarning', ...flags, main, ...process.argv.slice(2)]
const child = spawn(findNode(), args, {
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  env,
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (signal === 'SIGINT' ? 2 : 15)
})
