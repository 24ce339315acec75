// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, globSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A real PostgreSQL server for tests. */
export interface TestServer {
  dsn: string
  stop(): Promise<void>
}

const NOBODY = 65_534

/** The folder of PostgreSQL's server programs, or undefined where none is installed. */
export function findPostgres(): string | undefined {
  const onPath = (process.env.PATH ?? '').split(':').map((dir) => join(dir, 'initdb'))
  const all = [...onPath, ...globSync('/usr/lib/postgresql/*/bin/initdb')]
  const found = all.find((path) =>
    ['initdb', 'postgres', 'pg_isready'].every((p) => existsSync(join(dirname(path), p))),
  )
  return found && dirname(found)
}

/** Starts a server of its own on a free loopback port, with a password that needs percent-encoding. */
export async function startTestServer(bin: string): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-pg-'))
  const password = `p@:/ %?#'"\\${randomBytes(8).toString('hex')}`
  const passwordFile = join(dir, 'password')
  await writeFile(passwordFile, password)
  // The server refuses to run as root.
  const ids = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  if ('uid' in ids) for (const path of [dir, passwordFile]) chownSync(path, NOBODY, NOBODY)
  const data = join(dir, 'data')
  const init = ['-D', data, '-U', 'nemo', '-A', 'scram-sha-256', '--pwfile', passwordFile, '--no-sync']
  execFileSync(join(bin, 'initdb'), init, { stdio: 'pipe', cwd: dir, ...ids })
  const port = await freePort()
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir]
  const server = spawn(join(bin, 'postgres'), args, { stdio: 'ignore', cwd: dir, ...ids })
  const exited = new Promise((resolve) => server.once('exit', resolve))
  await untilReady(join(bin, 'pg_isready'), port).catch((err) => {
    server.kill('SIGKILL')
    throw err
  })
  return {
    dsn: `postgresql://nemo:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    stop: async () => {
      server.kill('SIGINT')
      await exited
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function untilReady(program: string, port: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    try {
      execFileSync(program, ['-h', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
      return
    } catch {
      await sleep(50)
    }
  }
  throw new Error('the PostgreSQL test server did not start within 10 s')
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
