// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { readLock } from '@open-nemo/runtime'
import { homePaths, type PlatformConfig } from '../platform/config.ts'
import { type Platform, startPlatform } from '../platform/start.ts'
import { untilSignal } from './until-signal.ts'

/** `nemoctl up`: starts all services in this process, says where they are, and runs until stopped. */
export async function up(config: PlatformConfig): Promise<never> {
  const started = performance.now()
  const platform = await startPlatform(config, process.env)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(welcome(platform.urls, config, seconds))
  return untilSignal(async () => {
    console.log('Stopping…')
    await platform.stop()
  })
}

/** `nemoctl up --detach`: starts the platform in the background and returns when it answers. */
export async function upDetached(config: PlatformConfig): Promise<void> {
  const paths = homePaths(config.home)
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', 'up'], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NEMO_DETACHED: '1' },
  })
  let problem = ''
  child.stderr.on('data', (chunk) => {
    problem += chunk
  })
  for (let waited = 0; child.exitCode === null; waited += 100) {
    await sleep(100)
    const holder = await readLock(paths.lock)
    const urls = holder?.pid === child.pid ? (holder?.info.urls as Platform['urls'] | undefined) : undefined
    const healthy =
      urls &&
      (await fetch(`${urls.platform}/health`).then(
        (r) => r.ok,
        () => false,
      ))
    if (!urls || !healthy) continue
    console.log(welcome(urls, config, (waited / 1000).toFixed(1)))
    child.stderr.destroy()
    child.unref()
    return
  }
  throw new Error(problem.trim() || `the platform ended at once; see ${paths.log}`)
}

function welcome(urls: Platform['urls'], config: PlatformConfig, seconds: string): string {
  return `
Open NeMo is up after ${seconds} s.

  Platform API   ${urls.platform}      (health: ${urls.platform}/health)
  Data Store     ${urls.dataStore}/v1/hf
  NIM            ${urls.nim}/v1
  Evaluator      ${urls.evaluator}      (Guardrails too)
  Data           ${config.home}

Try this:
  npx --no-install nemoctl demo flywheel        # upload, fine-tune, evaluate, guard: some minutes
  pip install nemo-microservices==1.5.0
  python -c "from nemo_microservices import NeMoMicroservices as N; c = N(base_url='${urls.platform}', inference_base_url='${urls.nim}'); print([m.id for m in c.inference.models.list().data])"
  curl ${urls.nim}/v1/chat/completions -d '{"model":"smollm2/smollm2-135m-instruct","messages":[{"role":"user","content":"What is the capital of France?"}]}'
  npx --no-install nemoctl logs --follow        # and \`nemoctl status\`, \`nemoctl down\`
`
}
