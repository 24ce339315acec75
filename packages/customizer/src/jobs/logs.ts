// SPDX-License-Identifier: Apache-2.0
import type { JobLogs } from '@open-nemo/contract/customization/schemas.ts'
import type { CustomizationJob } from './types.ts'

const PARTS = [
  { key: 'entity-handler-0', object: 'EntityHandler_0', container: 'data', prefix: 'EntityHandler_0_' },
  { key: 'training-job', object: 'TrainingJob', container: 'trainer', prefix: 'TrainingJob' },
  { key: 'entity-handler-1', object: 'EntityHandler_1', container: 'model', prefix: 'EntityHandler_1_' },
]

/** The logs of a job's three parts in the shape of pods: what happened in each, and what the trainer wrote. */
export function readLogs(job: CustomizationJob, trainerLog: string): JobLogs {
  const entries: JobLogs['entries'] = {}
  for (const part of PARTS) {
    const logs = job.state.logs.filter((log) => log.message.startsWith(part.prefix))
    if (logs.length === 0) continue
    const written = logs.map(
      (log) => `${log.updated_at} ${log.message}${log.detail ? `: ${log.detail}` : ''}`,
    )
    entries[part.key] = {
      object: part.object,
      events: logs.map((log) => ({
        type: log.message.endsWith('Failed') ? 'Warning' : 'Normal',
        reason: log.message,
        message: log.detail ?? log.message,
        count: '1',
        first_seen: epochSeconds(log.updated_at),
        last_seen: epochSeconds(log.updated_at),
      })),
      logs:
        part.container === 'trainer'
          ? { status: written.join('\n'), progress: progressLines(job), trainer: trainerLog }
          : { [part.container]: written.join('\n') },
      status: { phase: logs.at(-1)?.message.slice(part.prefix.length) ?? 'Unknown' },
    }
  }
  return { entries, error: job.state.error ? errorOf(job.state.error) : null }
}

function progressLines(job: CustomizationJob): string {
  return Object.entries(job.state.metrics)
    .flatMap(([key, values]) => values.map((v) => ({ ...v, key })))
    .sort((a, b) => a.step - b.step || a.key.localeCompare(b.key))
    .map((v) => `${v.timestamp} step ${v.step + 1}: ${v.key} ${v.value}`)
    .join('\n')
}

function errorOf(error: { message: string; detail: string | null; at: string }) {
  return {
    message: error.message,
    explanation: error.message,
    stack_trace: error.detail,
    timestamp: error.at,
  }
}

function epochSeconds(naive: string): number {
  return Math.floor(Date.parse(`${naive}Z`) / 1000)
}
