// SPDX-License-Identifier: Apache-2.0
// Runs a TypeScript file with Node 24, whatever Node started this: `node tools/run.mjs FILE [ARGUMENTS]`.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

function findNode() {
  const name = `node-${process.platform}-${process.arch}`
  const path = fileURLToPath(new URL(`../node_modules/${name}/bin/node`, import.meta.url))
  if (existsSync(path)) return path
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  console.error(
    `This needs Node 24 and runs on Node ${process.versions.node}: run \`npm ci\`, which brings it.`,
  )
  process.exit(1)
}

const child = spawn(findNode(), process.argv.slice(2), { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 15)
})
