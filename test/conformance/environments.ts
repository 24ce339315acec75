// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { runCommand } from '../../tools/test-tiers/command.ts'

/** The clients, with the versions that their users install. */
export const environments = {
  'sdk-1.5.0': ['nemo-microservices==1.5.0', 'openai==3.54.0', 'huggingface_hub==0.34.4'],
  'hub-1.33.0': ['huggingface_hub==1.33.0', 'requests'],
  'hub-2.4.0': ['huggingface_hub==2.4.0', 'requests'],
  'lm-eval-0.4.13': ['nemo-microservices==1.5.0', 'lm-eval[api]==0.4.13'],
  // Newer versions of hypothesis fail in their own search for what schemathesis asks them to maximise.
  'schemathesis-4.32.5': ['schemathesis==4.32.5', 'hypothesis==6.140.4'],
  // What the trainer's tests need beside the standard library, at the version of trainer/requirements.lock.
  'trainer-tests-1': ['jinja2==3.1.6'],
}

export type EnvironmentName = keyof typeof environments

/** Said when a machine cannot have the clients: no Python, no registry. */
export class EnvironmentError extends Error {}

/**
 * Path of the interpreter that has these clients, installed with pip into the cache on first use.
 * Throws EnvironmentError.
 */
export async function ensureEnvironment(name: EnvironmentName): Promise<string> {
  const folder = join(cacheDir(), 'venvs', name)
  const python = join(folder, 'bin', 'python')
  const complete = join(folder, '.complete')
  // The scripts of a venv name their folder, so it is made in place and marked when it is whole.
  if (existsSync(complete)) return python
  console.log(`  installing ${environments[name].join(', ')}`)
  await rm(folder, { recursive: true, force: true })
  const steps = [
    [process.env.NEMO_PYTHON ?? 'python3', '-m', 'venv', folder],
    [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...environments[name]],
  ]
  for (const [command = '', ...args] of steps) {
    const { code, output } = await runCommand(command, args)
    if (code !== 0)
      throw new EnvironmentError(`${[command, ...args].join(' ')}: ${output.trim().slice(-600)}`)
  }
  await writeFile(complete, '')
  return python
}
