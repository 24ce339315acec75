// SPDX-License-Identifier: Apache-2.0
import { access, constants } from 'node:fs/promises'
import { ensurePythonEnvironment, findPython, PythonError } from '@open-nemo/runtime/python/index.ts'
import { EvaluationFailure } from '../../runner/evaluate.ts'
import { LM_EVAL_DIR } from './names.ts'

type Env = Record<string, string | undefined>

const REQUIREMENTS = {
  dir: LM_EVAL_DIR,
  name: 'lm-eval',
  label: "lm-eval's environment",
  what: 'lm-eval 0.4.13 (760 MB from PyPI)',
  needBytes: 1.5e9,
}

/** The interpreter with lm-eval: `NEMO_LM_EVAL_PYTHON`, or one made in the cache on first use. */
export async function harnessPython(
  cacheDir: string,
  env: Env,
  log: (message: string) => void,
): Promise<string> {
  if (env.NEMO_LM_EVAL_PYTHON) return env.NEMO_LM_EVAL_PYTHON
  try {
    return await ensurePythonEnvironment(cacheDir, REQUIREMENTS, {
      env,
      onProgress: ({ message, fraction }) => {
        // The names of all packages are not for the log.
        if (fraction !== undefined || !message.startsWith('+')) log(message)
      },
    })
  } catch (err) {
    if (err instanceof PythonError) throw new EvaluationFailure(err.message, { cause: err })
    throw err
  }
}

/** Why lm-eval cannot run on this machine; undefined when it can. */
export async function whyNoPython(env: Env): Promise<string | undefined> {
  const named = env.NEMO_LM_EVAL_PYTHON
  if (named) {
    return access(named, constants.X_OK).then(
      () => undefined,
      () => `NEMO_LM_EVAL_PYTHON names ${named}, which cannot be started`,
    )
  }
  try {
    await findPython(env)
    return undefined
  } catch (err) {
    return err instanceof Error ? err.message : String(err)
  }
}
