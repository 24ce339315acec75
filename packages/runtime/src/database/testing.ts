// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, globSync, rmSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLogger } from '../telemetry/log.ts'
import { openServer } from './server.ts'
import type { Database } from './types.ts'

/** A real PostgreSQL server for tests. */
export interface TestServer {
  dsn: string
  /** Its own certificate, with `tls`. */
  ca: string
  /** Ends it as a crash would; `start` brings it back on the same data and port. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
  /** Lets this process end without stop; the server goes with it. */
  leave(): void
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
export async function startTestServer(bin: string, options: { tls?: boolean } = {}): Promise<TestServer> {
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
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir, '-c', 'max_connections=200']
  const ca = join(dir, 'server.crt')
  if (options.tls) {
    makeCertificate(dir, ids)
    await writeFile(join(data, 'pg_hba.conf'), 'hostssl all all all scram-sha-256\n')
    args.push('-c', 'ssl=on', '-c', `ssl_cert_file=${ca}`, '-c', `ssl_key_file=${join(dir, 'server.key')}`)
  }
  let server: ChildProcess
  let exited: Promise<unknown>
  const start = async () => {
    server = spawn(join(bin, 'postgres'), args, { stdio: 'ignore', cwd: dir, ...ids })
    exited = new Promise((resolve) => server.once('exit', resolve))
    await untilReady(join(bin, 'pg_isready'), port).catch((err) => {
      server.kill('SIGKILL')
      throw err
    })
  }
  const end = async (signal: NodeJS.Signals) => {
    server.kill(signal)
    await exited
  }
  await start()
  return {
    dsn: `postgresql://nemo:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    ca,
    start,
    // at once, without a word to those connected; SIGKILL would leave its shared memory behind
    kill: () => end('SIGQUIT'),
    stop: async () => {
      if (server.exitCode === null && server.signalCode === null) await end('SIGINT')
      await rm(dir, { recursive: true, force: true })
    },
    leave: () => {
      server.unref()
      process.once('exit', () => {
        server.kill('SIGKILL')
        rmSync(dir, { recursive: true, force: true })
      })
    },
  }
}

/** A certificate that is its own authority, for `localhost` by name only. */
function makeCertificate(dir: string, ids: { uid?: number; gid?: number }): void {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const out = ['-keyout', 'server.key', '-out', 'server.crt']
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...out]
  execFileSync('openssl', args, { stdio: 'pipe', cwd: dir, ...ids })
}

let own: Promise<TestServer> | undefined

/**
 * What the tests run on in place of the embedded database when NEMO_TEST_DATABASE is set: a fresh database on the server
 * at that URL, or, when it is `server`, on one that ends with this process. It goes when it is closed.
 */
export async function testDatabase(): Promise<Database | undefined> {
  const where = process.env.NEMO_TEST_DATABASE
  if (!where) return undefined
  const log = silentLogger()
  const dsn = where === 'server' ? (await ownServer()).dsn : where
  const name = `test_${randomBytes(8).toString('hex')}`
  const admin = openServer(dsn, { log, max: 1 })
  await admin.query(`CREATE DATABASE ${name}`)
  const url = new URL(dsn)
  url.pathname = name
  const db = openServer(url.href, { log })
  return {
    ...db,
    close: async () => {
      await db.close()
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await admin.close()
    },
  }
}

function ownServer(): Promise<TestServer> {
  const bin = findPostgres()
  if (!bin) throw new Error('NEMO_TEST_DATABASE=server: PostgreSQL server programs are not installed')
  own ??= startTestServer(bin).then((server) => {
    server.leave()
    return server
  })
  return own
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
