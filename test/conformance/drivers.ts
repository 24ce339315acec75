// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { type EnvironmentName, ensureEnvironment } from './environments.ts'

/** One operation as a driver saw it. */
export interface Operation {
  service: string
  operation: string
  /** The operations of the inventory that this took. */
  endpoints: string[]
  ok: boolean
  refused?: boolean
  detail?: string
}

export interface DriverRun {
  operations: Operation[]
  /** Why the driver did not come to its end. */
  broken?: string
}

export interface Driver {
  name: string
  file: string
  environment: EnvironmentName
  /** Variables of the platform that it needs. */
  settings?: Record<string, string>
}

export const drivers: Driver[] = [
  { name: 'entity store, SDK 1.5.0', file: 'entity_store.py', environment: 'sdk-1.5.0' },
  { name: 'data store, huggingface_hub 0.34.4', file: 'data_store.py', environment: 'sdk-1.5.0' },
  { name: 'data store, huggingface_hub 1.33.0', file: 'data_store.py', environment: 'hub-1.33.0' },
  { name: 'data store, huggingface_hub 2.4.0', file: 'data_store.py', environment: 'hub-2.4.0' },
  { name: 'inference, SDK 1.5.0 and openai', file: 'inference.py', environment: 'sdk-1.5.0' },
  { name: 'deployment, SDK 1.5.0', file: 'deployment.py', environment: 'sdk-1.5.0' },
  { name: 'evaluation, SDK 1.5.0', file: 'evaluation.py', environment: 'sdk-1.5.0' },
  {
    name: 'retrievers, RAG and agents, SDK 1.5.0',
    file: 'pipelines.py',
    environment: 'sdk-1.5.0',
  },
  { name: 'customization, SDK 1.5.0', file: 'customization.py', environment: 'sdk-1.5.0' },
  { name: 'guardrails, SDK 1.5.0 and openai', file: 'guardrails.py', environment: 'sdk-1.5.0' },
  {
    name: 'names of Llama 3.2 1B, SDK 1.5.0',
    file: 'llama_aliases.py',
    environment: 'sdk-1.5.0',
    settings: { NEMO_LLAMA_ALIASES: 'true' },
  },
]

/** Real training: minutes, so that it is in the slow tests only. */
export const flywheel: Driver = {
  name: 'flywheel, SDK 1.5.0',
  file: 'flywheel.py',
  environment: 'sdk-1.5.0',
}

/** lm-eval starts several times, here and beside. */
export const harness: Driver = {
  name: 'lm-evaluation-harness, SDK 1.5.0 and lm-eval 0.4.13',
  file: 'lm_eval_harness.py',
  environment: 'lm-eval-0.4.13',
}

/** Real training too, and small: well below a minute on two cores. */
const tuning: Driver = {
  name: 'files and fine-tuning, openai 3.54.0',
  file: 'openai_tuning.py',
  environment: 'sdk-1.5.0',
}

export const slow: Driver[] = [flywheel, tuning, harness]

const driverTimeout = 20 * 60_000

/** Runs a driver against the platform that `env` names. Throws EnvironmentError. */
export async function runDriver(driver: Driver, env: Record<string, string>): Promise<DriverRun> {
  const python = await ensureEnvironment(driver.environment)
  const operations: Operation[] = []
  let done = false
  const { code, output } = await runCommand(python, [join(import.meta.dirname, 'drivers', driver.file)], {
    env: { ...env, PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' },
    timeout: driverTimeout,
    onLine: (line) => {
      if (!line.startsWith('{')) return
      const said = JSON.parse(line) as Operation | { done: string }
      if ('done' in said) done = true
      else operations.push(said)
    },
  })
  return done && code === 0
    ? { operations }
    : { operations, broken: `status ${code}\n${output.slice(-4000)}` }
}
