// SPDX-License-Identifier: Apache-2.0
import type { OperatorName } from '@open-nemo/operator/controllers.ts'
import { runOperator } from '@open-nemo/operator/main/run.ts'
import { untilSignal } from './until-signal.ts'

/** Runs an operator until a signal comes or it no longer leads; then the process ends and its pod starts anew. */
export async function operator(name: OperatorName): Promise<never> {
  const running = await runOperator(name, process.env)
  console.log(`operator ${name} runs; health on port ${running.port}`)
  void running.lost.then(() => {
    console.error('another process leads now, or the API server cannot be reached: ending')
    process.exit(1)
  })
  return untilSignal(running.stop)
}
