// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { downloadData } from '../data/download.ts'
import type { SourceContext } from '../data/source.ts'
import { retry } from './retry.ts'
import type { Run } from './run.ts'

/** Fetches the job's files and checks every line of them. */
export async function dataStep(ctx: SourceContext, run: Run): Promise<void> {
  await run.update((state) => state, 'pending')
  await run.tell('PVCCreated', undefined, true)
  await run.tell('EntityHandler_0_Created', undefined, true)
  await run.tell('EntityHandler_0_Pending', undefined, true)
  await run.tell('EntityHandler_0_Running', `reading dataset ${run.payload.dataset}`)
  const request = {
    source: run.payload.source,
    folder: join(run.workdir, 'data'),
    promptTemplate: run.payload.config_snapshot.prompt_template,
    training: run.payload.task ?? run.payload.hyperparameters.training_type,
    tools: run.payload.tools,
    signal: run.signal,
    onFile: (path: string) => void run.tell('EntityHandler_0_Running', `reading and checking ${path}`),
  }
  const data = await retry(() => downloadData(ctx, request), run.signal)
  await run.update((state) => ({
    ...state,
    data: { training: data.training, validation: data.validation },
  }))
  const rows = `${data.trainingRows} training and ${data.validationRows} validation rows`
  await run.tell('EntityHandler_0_Completed', rows)
}
