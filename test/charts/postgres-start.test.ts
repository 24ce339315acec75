// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findPostgres } from '@open-nemo/runtime/database/testing.ts'
import { Client } from 'pg'
import { infraChart } from './helm.ts'

const script = join(infraChart, 'files/postgres-start.sh')
const bin = findPostgres()
const isRoot = userInfo().uid === 0
/** Gives a UID without a name one; images have it. */
const wrapper = globSync('/usr/{lib,lib64}/**/libnss_wrapper.so')[0]

/** A UID as OpenShift gives them, in group 0; where nothing can name it, that of the user postgres. */
function testUid(): number | undefined {
  if (wrapper) return 1000660000
  const entry = /^postgres:[^:]*:(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'))
  return entry ? Number(entry[1]) : undefined
}
const UID = testUid()

function reason(): string | false {
  if (!bin) return 'PostgreSQL server programs (initdb, postgres) are not installed'
  const named = isRoot ? UID !== undefined : wrapper !== undefined || userInfo().username === 'postgres'
  return named ? false : 'libnss_wrapper.so is not installed, and there is no user postgres'
}
const skip = reason()

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' && address ? address.port : 0
}

const dir = await mkdtemp(join(tmpdir(), 'nemo-pg-start-'))
chmodSync(dir, 0o755)
after(() => rm(dir, { recursive: true, force: true }))

interface Place {
  env: Record<string, string>
  port: number
  put(part: string, kind: 'generated' | 'hand-made', password: string): void
  data: string
}

/** The folders that the pod mounts, with the databases of two services. */
async function place(name: string): Promise<Place> {
  const port = await freePort()
  const folder = (sub: string) => {
    const path = join(dir, name, sub)
    mkdirSync(path, { recursive: true })
    if (isRoot) execFileSync('chown', [`${UID}:0`, path])
    return path
  }
  const passwords = join(dir, name, 'passwords')
  const data = join(folder('volume'), 'pgdata')
  return {
    port,
    data,
    put(part, kind, password) {
      mkdirSync(join(passwords, part, kind), { recursive: true })
      writeFileSync(join(passwords, part, kind, 'password'), password)
    },
    env: {
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      PGDATA: data,
      SOCKETS: folder('s'),
      SCRATCH: folder('tmp'),
      PASSWORDS: passwords,
      PORT: String(port),
      DATABASES: 'customizer ncsuser ncsdb\nevaluator evaluser evaldb\n',
      PARAMETERS: 'max_connections=20\nshared_buffers=16MB\n',
    },
  }
}

function command(args: string[]): [string, string[]] {
  if (!isRoot) return ['bash', [script, ...args]]
  return [
    'setpriv',
    ['--reuid', String(UID), '--regid', '0', '--clear-groups', '--no-new-privs', 'bash', script, ...args],
  ]
}

function start({ env }: Place): { child: ChildProcess; log: () => string; ended: Promise<number | null> } {
  const [file, args] = command([])
  // A group of its own, so that a kill ends all of it, as it does with a container.
  const child = spawn(file, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      text += chunk
    })
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  return { child, log: () => text, ended }
}

const isReady = ({ env }: Place): boolean => {
  const [file, args] = command(['ready'])
  try {
    execFileSync(file, args, { env, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  log: () => string,
): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 200) {
    if (await check()) return
    await sleep(200)
  }
  assert.fail(`${what} within a minute; the log:\n${log()}`)
}

async function logsIn(at: Place, user: string, database: string, password: string): Promise<boolean> {
  const client = new Client({ host: '127.0.0.1', port: at.port, user, database, password })
  try {
    await client.connect()
    await client.query('CREATE SCHEMA IF NOT EXISTS mine')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')

test('PostgreSQL starts under any UID and follows its passwords', { skip, timeout: 110_000 }, async () => {
  const at = await place('one')
  at.put('customizer', 'generated', 'first')
  at.put('evaluator', 'generated', `${PRINTABLE}é`)
  assert.equal(isReady(at), false)
  const first = start(at)
  await until('ready', () => isReady(at), first.log)
  assert.equal(await logsIn(at, 'ncsuser', 'ncsdb', 'first'), true)
  assert.equal(await logsIn(at, 'evaluser', 'evaldb', `${PRINTABLE}é`), true)
  assert.equal(await logsIn(at, 'ncsuser', 'evaldb', 'first'), false, "another service's database")
  assert.equal(await logsIn(at, 'ncsuser', 'ncsdb', 'wrong'), false)
  assert.equal(await logsIn(at, 'postgres', 'postgres', ''), false, 'the superuser comes in over the network')

  at.put('customizer', 'hand-made', `'; DROP ROLE evaluser; -- \\ "${PRINTABLE}`)
  const taken = () => logsIn(at, 'ncsuser', 'ncsdb', `'; DROP ROLE evaluser; -- \\ "${PRINTABLE}`)
  const begun = Date.now()
  await until('the password made by hand', taken, first.log)
  assert.ok(Date.now() - begun < 10_000, 'within seconds')
  assert.equal(await logsIn(at, 'ncsuser', 'ncsdb', 'first'), false)
  assert.equal(await logsIn(at, 'evaluser', 'evaldb', `${PRINTABLE}é`), true)
  first.child.kill('SIGTERM')
  assert.equal(await first.ended, 0, first.log())
  assert.ok(first.log().includes('database system is shut down'))
  assert.ok(!first.log().includes('DROP ROLE'), 'a password is in the log')

  // Secrets were deleted and made again, and the kubelet has widened the rights of the folder.
  await rm(join(dir, 'one', 'passwords'), { recursive: true })
  at.put('customizer', 'generated', 'second')
  chmodSync(at.data, 0o2770)
  const again = start(at)
  await until('ready again', () => isReady(at), again.log)
  assert.equal(await logsIn(at, 'ncsuser', 'ncsdb', 'second'), true)
  again.child.kill('SIGTERM')
  assert.equal(await again.ended, 0, again.log())

  writeFileSync(join(at.data, 'PG_VERSION'), '9\n')
  const refused = start(at)
  assert.equal(await refused.ended, 1)
  assert.match(
    refused.log(),
    /of PostgreSQL 9, this image is PostgreSQL \d+ and cannot read it.*postgresql\.image\.tag/s,
  )
  assert.equal(readFileSync(join(at.data, 'PG_VERSION'), 'utf8'), '9\n')
})

test('a kill in the middle of making the data leaves nothing half made', {
  skip,
  timeout: 60_000,
}, async () => {
  const at = await place('two')
  at.put('customizer', 'generated', 'x')
  const first = start(at)
  await until('initdb', () => existsSync(`${at.data}.new`), first.log)
  process.kill(-(first.child.pid ?? 0), 'SIGKILL')
  await first.ended
  const again = start(at)
  await until('ready', () => isReady(at), again.log)
  assert.equal(await logsIn(at, 'ncsuser', 'ncsdb', 'x'), true)
  again.child.kill('SIGTERM')
  assert.equal(await again.ended, 0, again.log())
})
