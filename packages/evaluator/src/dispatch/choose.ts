// SPDX-License-Identifier: Apache-2.0
import { hostname } from 'node:os'
import type { ServiceContext } from '@open-nemo/runtime'
import { createKubernetesApi, inCluster } from '@open-nemo/runtime/executors/index.ts'
import { readConfig } from '../config.ts'
import { createArgoLauncher, createKubernetesLauncher } from './launchers.ts'
import type { Launcher } from './types.ts'

/** What NEMO_EXECUTOR asks for: undefined for this process, else pods of their own, by Argo where ARGO_HOST is set. */
export async function chooseLauncher(ctx: ServiceContext): Promise<Launcher | undefined> {
  if (readConfig(ctx.env).executor === 'process') return undefined
  const at = await inCluster(ctx.env)
  const api = createKubernetesApi(at)
  const podName = ctx.env.POD_NAME || hostname()
  if (!ctx.env.ARGO_HOST) return createKubernetesLauncher(api, ctx.env, podName)
  const [, main = ''] = process.argv
  const command = [process.execPath, ...process.execArgv, main]
  return createArgoLauncher(api, ctx.env, { podName, token: at.token, fetch: ctx.fetch, command })
}
