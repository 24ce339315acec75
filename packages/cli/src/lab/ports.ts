// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { writeIfChanged } from './files.ts'

/** Ports that nobody listened on at `host`, by name; those of an earlier call are kept in `file`. */
export async function keptPorts<N extends string>(
  file: string,
  names: readonly N[],
  host = '127.0.0.1',
): Promise<Record<N, number>> {
  if (existsSync(file)) return JSON.parse(await readFile(file, 'utf8')) as Record<N, number>
  const ports = {} as Record<N, number>
  for (const name of names) ports[name] = await freePort(host, Object.values(ports))
  await writeIfChanged(file, JSON.stringify(ports))
  return ports
}

async function freePort(host: string, taken: unknown[]): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, host, () => resolve())
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  const port = address && typeof address === 'object' ? address.port : 0
  return taken.includes(port) ? freePort(host, taken) : port
}
