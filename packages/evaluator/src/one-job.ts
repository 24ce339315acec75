// SPDX-License-Identifier: Apache-2.0
import type { ServiceContext } from '@open-nemo/runtime'
import { ACTIVE } from './jobs/types.ts'
import { createRunner } from './runner/runner.ts'
import { createJobServices } from './service.ts'

/**
 * Runs one job that is in the database and waits for its end, as a pod of its own does: `nemoctl evaluate-job <id>`.
 * Gives the status it ended with, also when that was before; undefined when it is not there or held by another worker.
 */
export async function evaluateJob(
  ctx: ServiceContext,
  id: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const services = await createJobServices(ctx)
  const runner = createRunner({ ...services, only: id })
  const stop = () => void runner.stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await runner.done
    const job = await services.jobs.get(id)
    return job && !ACTIVE.includes(job.status) ? job.status : undefined
  } finally {
    signal.removeEventListener('abort', stop)
    await services.templates.close()
  }
}
