// SPDX-License-Identifier: Apache-2.0
import { openContext } from '../platform/serve-one.ts'

/** Runs one evaluation job with the environment of an evaluator's pod. 0 when it completed, 1 when it ended otherwise, 3 when there is nothing to run. */
export async function evaluateJobCommand(
  id: string,
  env: Record<string, string | undefined>,
): Promise<number> {
  const { evaluateJob } = await import('@open-nemo/evaluator')
  const { ctx, stop } = await openContext('evaluator', env)
  const abort = new AbortController()
  const interrupt = () => abort.abort()
  process.once('SIGTERM', interrupt)
  process.once('SIGINT', interrupt)
  try {
    const status = await evaluateJob(ctx, id, abort.signal)
    console.log(status ? `${id} ended: ${status}` : `${id} is not there, or is held by another worker`)
    if (!status) return 3
    return status === 'completed' ? 0 : 1
  } finally {
    process.off('SIGTERM', interrupt)
    process.off('SIGINT', interrupt)
    await stop()
  }
}
