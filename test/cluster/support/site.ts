// SPDX-License-Identifier: Apache-2.0
import { execFile, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, statfs, symlink } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LAB_IMAGES, OWN_IMAGES } from '../../../packages/cli/src/images/definitions/index.ts'
import { type Lab, labDown, labOwner, labUp } from '../../../packages/cli/src/lab/index.ts'
import { cacheDir } from '../../../tools/test-tiers/cache.ts'
import { root } from '../../charts/helm.ts'

const run = promisify(execFile)
const onProgress = ({ message }: { message: string }) => console.log(message)
/** A lab that runs already, with the images that it has. */
const given = process.env.NEMO_TEST_LAB

/** The images of both charts but those of Argo and Volcano, which are on no package registry. */
export const SEED_IMAGES = [
  'services',
  'trainer',
  'mlflow',
  'jupyter',
  'minio',
  'postgres',
  'milvus',
  'otel-collector',
]

/** What a lab with all images takes: they lie there packed and unpacked, with the volumes of two installations. */
const NEEDS = { disk: 20e9, memory: 10e9 }

/** Why this machine cannot run a lab with all images, or false. */
async function lacking(): Promise<string | false> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs Linux and root'
  if (given) return false
  if (await labOwner()) return 'a lab runs on this machine'
  if (totalmem() < NEEDS.memory) return `needs ${NEEDS.memory / 1e9} GB of memory`
  const { bavail, bsize } = await statfs('/tmp')
  return bavail * bsize < NEEDS.disk ? `needs ${NEEDS.disk / 1e9} GB of free disk at /tmp` : false
}

/** What `skip` of a test takes: false where a lab can be had, else the reason. */
export const noLab: string | false = await lacking()

export type HelmVersion = 'helm3' | 'helm4'

/** A cluster as its administrator sees it: a shell that finds `oc` and `helm`, in a copy of the charts. */
export interface Site {
  lab: Lab
  /** Folder that has `deploy/`, where the guide's commands start. */
  dir: string
  kubectl(...args: string[]): Promise<string>
  /** Runs lines of a guide and gives all that they print; throws with it when one fails. */
  shell(lines: string, helm?: HelmVersion): Promise<string>
  nemoctl(...args: string[]): Promise<string>
  /** Stops the node with all that runs on it, and starts it again. */
  restart(): Promise<void>
  /** The address of a port of a Service, by way of `kubectl port-forward`. */
  forward(namespace: string, service: string, port?: number): Promise<string>
  stopForwards(): void
  /** Ends the lab, unless it was given. */
  close(): Promise<void>
}

/** Takes the lab of NEMO_TEST_LAB, or brings one up with these images. */
export async function openSite(images: string[]): Promise<Site> {
  const dir = await mkdtemp('/tmp/nemo-site-')
  const options = { dir: given ?? join(dir, 'lab'), cacheDir: cacheDir(), onProgress }
  let lab = await labUp(options)
  if (!given) {
    for (const name of images) {
      const definition = { ...OWN_IMAGES, ...LAB_IMAGES }[name]
      if (!definition) throw new Error(`no image ${name}`)
      await lab.importImages([await definition({ cacheDir: cacheDir() })])
    }
  }
  await cp(join(root, 'deploy'), join(dir, 'deploy'), { recursive: true })
  for (const version of ['helm3', 'helm4']) {
    const bin = join(dir, version)
    await mkdir(bin)
    await symlink(join(lab.bin, version), join(bin, 'helm'))
    await symlink(join(lab.bin, 'kubectl'), join(bin, 'oc'))
  }
  const environment = (helm: HelmVersion) => ({
    ...process.env,
    ...lab.env,
    PATH: `${join(dir, helm)}:${lab.env.PATH}`,
  })
  const forwards: ReturnType<typeof spawn>[] = []
  const stopForwards = () => {
    for (const child of forwards.splice(0)) child.kill()
  }
  return {
    get lab() {
      return lab
    },
    dir,
    kubectl: (...args) => lab.kubectl(args),
    shell: async (lines, helm = 'helm3') => {
      const options = { cwd: dir, env: environment(helm), maxBuffer: 1 << 26 }
      const { stdout, stderr } = await run('bash', ['--norc', '-euo', 'pipefail', '-c', lines], options)
      return stdout + stderr
    },
    nemoctl: async (...args) => {
      const main = join(root, 'packages/cli/src/main.ts')
      const { stdout } = await run(process.execPath, [main, ...args], {
        env: { ...environment('helm3'), NEMO_HOME: join(dir, 'home') },
      })
      return stdout
    },
    restart: async () => {
      stopForwards()
      await labDown({ dir: options.dir })
      lab = await labUp(options)
    },
    forward: async (namespace, service, port = 8000) => {
      const args = ['port-forward', '-n', namespace, `service/${service}`, `:${port}`]
      const child = spawn(join(lab.bin, 'kubectl'), args, { env: environment('helm3') })
      forwards.push(child)
      const local = await new Promise<string>((resolve, reject) => {
        child.stdout.on('data', (text) => {
          const found = /127\.0\.0\.1:(\d+)/.exec(String(text))?.[1]
          if (found) resolve(found)
        })
        child.stderr.on('data', (text) => reject(new Error(`${service}: ${text}`)))
        child.once('exit', () => reject(new Error(`the way to ${service} was closed`)))
      })
      return `http://127.0.0.1:${local}`
    },
    stopForwards,
    close: async () => {
      stopForwards()
      if (!given) await labDown({ dir: options.dir, wipe: true })
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Looks again until it holds. Throws after `seconds`, with what `explain` says. */
export async function until(
  what: string,
  seconds: number,
  holds: () => Promise<boolean>,
  explain: () => Promise<string> = async () => '',
): Promise<void> {
  const end = Date.now() + seconds * 1000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s\n${await explain()}`)
    await sleep(1000)
  }
}
