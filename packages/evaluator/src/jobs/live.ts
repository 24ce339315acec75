// SPDX-License-Identifier: Apache-2.0
import { newId } from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { LiveCreate } from '@open-nemo/contract/evaluation/schemas.ts'
import type { Database } from '@open-nemo/runtime'
import { createRedactor } from '../entities/secrets.ts'
import { kindOf } from '../kinds/registry.ts'
import type { CheckContext, EvaluationKind, EvaluationRequest } from '../kinds/types.ts'
import { newResult } from '../results/store.ts'
import { createRunContext, type RunServices } from '../runner/context.ts'
import { EvaluationFailure, evaluate } from '../runner/evaluate.ts'
import { createMemoryKept } from '../runner/kept.ts'
import { createMemoryRecorder } from '../runner/recorder.ts'
import { requestOf, resolveSpec } from './spec.ts'

export interface LiveServices extends RunServices {
  db: Database
  check: CheckContext
  kinds: readonly EvaluationKind[]
}

const MAX_ROWS = 10_000

/** Evaluates at once and answers with the result; nothing is stored. Only rows and datasets with tasks of type `data`. */
export async function runLive(services: LiveServices, body: LiveCreate, signal: AbortSignal) {
  const spec = await resolveSpec(services.db, body)
  const request = requestOf(spec)
  refuseSlow(request)
  const kind = kindOf(request.config.type, services.kinds)
  await kind.check(request, { ...services.check, isLive: true })
  const redact = createRedactor(Object.values(spec.secrets))
  const recorder = createMemoryRecorder(redact)
  const jobId = newId('eval')
  const kept = createMemoryKept()
  const ctx = createRunContext(services, { jobId, request, recorder, kept, redact, signal })
  const logs = () => ({
    lines: recorder.lines.map(({ at, task, message }) => `${at} ${task ? `[${task}] ` : ''}${message}`),
  })
  try {
    const outcome = await evaluate({ kind, ctx, recorder, mask: redact.text, onProgress: () => undefined })
    const { tasks, groups, progress, problems } = outcome
    const failed =
      progress.failed > 0 ? ` ${progress.failed} samples failed, the first with: ${problems[0]}` : ''
    const result = redact.value({ job: jobId, namespace: body.namespace, tasks, groups })
    return {
      status: 'completed',
      status_details: {
        message: redact.text(`Job completed successfully.${failed}`),
        task_status: progress.task_status,
        progress: 100,
        samples_processed: progress.processed,
      },
      result: newResult(result),
      logs: logs(),
    }
  } catch (err) {
    if (!(err instanceof EvaluationFailure)) throw err
    const task_status = Object.fromEntries(
      Object.keys(request.config.tasks ?? {}).map((name) => [name, 'failed']),
    )
    return {
      status: 'failed',
      status_details: { message: redact.text(err.message), task_status, progress: null },
      result: null,
      logs: logs(),
    }
  }
}

function refuseSlow({ target, config }: EvaluationRequest): void {
  if (target.type !== 'rows' && target.type !== 'dataset') {
    throw errors.LIVE_UNSUPPORTED({ what: `a target of type ${target.type}`, field: 'target' })
  }
  if (config.type !== 'custom')
    throw errors.LIVE_UNSUPPORTED({ what: `type ${config.type}`, field: 'config' })
  for (const [name, task] of Object.entries(config.tasks ?? {})) {
    if (task.type !== 'data') {
      throw errors.LIVE_UNSUPPORTED({ what: `task ${name} of type ${task.type}`, field: 'config' })
    }
  }
  if ((target.rows?.length ?? 0) > MAX_ROWS) throw errors.LIVE_TOO_LARGE({ limit: MAX_ROWS, field: 'target' })
}
