// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The MinIO server that the lab built, or undefined where it has not been. */
export function findMinio(): string | undefined {
  const cache =
    process.env.NEMO_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')
  return globSync(join(cache, 'lab/minio-*/minio')).at(-1)
}

/** A MinIO server on a free port with a folder of its own; `certs` is a folder with public.crt and private.key. */
export async function startMinio(program: string, certs?: string) {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-minio-'))
  const port = await freePort()
  const keys = { id: 'nemo-test', secret: 'p@ss w0rd/+%"x' }
  const run = () => {
    const args = ['server', dir, '--address', `127.0.0.1:${port}`, '--quiet']
    if (certs) args.push('--certs-dir', certs)
    const env = {
      ...process.env,
      MINIO_ROOT_USER: keys.id,
      MINIO_ROOT_PASSWORD: keys.secret,
      MINIO_BROWSER: 'off',
    }
    return spawn(program, args, { env, stdio: 'ignore' })
  }
  let child = run()
  const answers = async () => {
    for (let i = 0; i < 200; i++) {
      if (certs ? await accepts(port) : await healthy(port)) return
      await sleep(50)
    }
    throw new Error('MinIO did not start within 10 s')
  }
  const end = async () => {
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }
  await answers()
  return {
    env: (bucket: string) => ({
      NEMO_DATA_STORE_S3_ENDPOINT: `${certs ? 'https' : 'http'}://127.0.0.1:${port}`,
      NEMO_DATA_STORE_S3_BUCKET: bucket,
      NEMO_DATA_STORE_S3_ACCESS_KEY_ID: keys.id,
      NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY: keys.secret,
    }),
    keys,
    kill: end,
    async restart() {
      child = run()
      await answers()
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await end()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function healthy(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/minio/health/ready`).then(
    (answer) => answer.ok,
    () => false,
  )
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
