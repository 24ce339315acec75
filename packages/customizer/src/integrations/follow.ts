// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { JobStatus } from '@open-nemo/contract/customization/schemas.ts'
import type { Logger } from '@open-nemo/runtime'
import type { JobState } from '../jobs/types.ts'
import type { Run } from '../runner/run.ts'
import {
  type Ending,
  type Memory,
  type Point,
  paramsOf,
  type RunFacts,
  type Tracker,
  TrackerError,
} from './tracker.ts'

const POLL_MS = 2000
/** A tracker that does not answer is asked less and less often. */
const LONGEST_WAIT_MS = 60_000
/** The job does not wait longer than this for its last values to be logged. */
const LAST_WORDS_MS = 15_000
/** How often the end of a run is told to a tracker that does not answer. */
const LAST_TRIES = 3
const LAST_PAUSE_MS = 500

/**
 * Logs a run to its trackers while it trains; call what it returns when the run ends, with how the job ended (or
 * without, when it goes on later). What a tracker cannot take is a warning of the job and never its failure.
 */
export function followRun(args: {
  run: Run
  trackers: Promise<Tracker[]>
  log: Logger
  pollMs?: number
}): (ended?: JobStatus) => Promise<void> {
  const { run, log } = args
  const stopping = new AbortController()
  const work = args.trackers.then(
    (trackers) => Promise.all(trackers.map((tracker) => track(tracker))),
    (err) => log.warn({ err, job: run.id }, 'the trackers of a job could not be made'),
  )
  let ending: Ending | undefined

  async function track(tracker: Tracker): Promise<void> {
    let wait = args.pollMs ?? POLL_MS
    const known = run.state.tracking?.[tracker.name]
    const on: Session = { tracker, memory: known?.memory, sent: { ...known?.sent } }
    for (let lastTries = LAST_TRIES; ; ) {
      const isEnding = stopping.signal.aborted
      const isLast = isEnding && --lastTries === 0
      const outcome = await attempt(on, { isEnding, isLast })
      if (isLast || ['refused', 'ended'].includes(outcome)) return
      if (isEnding) await sleep(LAST_PAUSE_MS)
      wait = outcome === 'logged' ? (args.pollMs ?? POLL_MS) : Math.min(2 * wait, LONGEST_WAIT_MS)
      await sleep(wait, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  async function attempt(
    on: Session,
    { isEnding, isLast }: { isEnding: boolean; isLast: boolean },
  ): Promise<'logged' | 'ended' | 'failed' | 'refused'> {
    try {
      if (run.state.started_at) await step(on)
      if (!isEnding) return 'logged'
      if (on.memory && ending) await on.tracker.end(on.memory, ending, Date.now())
      return 'ended'
    } catch (err) {
      const isFinal = err instanceof TrackerError && err.isFinal
      await warn(on.tracker, err, isLast || isFinal)
      return isFinal ? 'refused' : 'failed'
    }
  }

  async function step(on: Session): Promise<void> {
    const facts = factsOf(run)
    on.memory ??= await on.tracker.begin(facts)
    const points = unsent(run.state, on.sent)
    if (points.length > 0) {
      on.memory = await on.tracker.log(on.memory, points, facts)
      for (const { key, step } of points) on.sent[key] = Math.max(on.sent[key] ?? 0, step)
    }
    const { name } = on.tracker
    const entry = { memory: on.memory, sent: { ...on.sent } }
    if (JSON.stringify(run.state.tracking?.[name]) === JSON.stringify(entry)) return
    const saved = run.update((state) => ({ ...state, tracking: { ...state.tracking, [name]: entry } }))
    // A run that has ended is not this worker's any more; what is not noted is at worst logged again.
    await (stopping.signal.aborted ? Promise.resolve(saved).catch(() => undefined) : saved)
  }

  async function warn({ name, where }: Tracker, err: unknown, isFinal: boolean): Promise<void> {
    const reason = err instanceof Error ? err.message : String(err)
    log.warn({ job: run.id, tracker: name, reason }, 'metrics could not be logged')
    const message = `metrics could not be logged to ${name} at ${where}`
    // What passes by itself is for the platform's log only.
    if (!isFinal || run.state.warnings.some((warning) => warning.message === message)) return
    const warning = { message, explanation: reason }
    await Promise.resolve(
      run.update((state) => ({ ...state, warnings: [...state.warnings, warning] })),
    ).catch(() => undefined)
  }

  return async (ended) => {
    ending = ended === 'completed' || ended === 'failed' || ended === 'cancelled' ? ended : undefined
    stopping.abort()
    // Without a look at what was said last nothing is lost that a later start would not log.
    await Promise.race([work, sleep(LAST_WORDS_MS, undefined, { ref: false })])
  }
}

interface Session {
  tracker: Tracker
  memory: Memory | undefined
  /** The last step of each metric that is there. */
  sent: Record<string, number>
}

/** Values of later steps than those that were sent; a trainer that went on from a checkpoint repeats the others. */
function unsent(state: JobState, sent: Record<string, number>): Point[] {
  return Object.entries(state.metrics).flatMap(([key, values]) =>
    values
      .map(({ step, timestamp, value }) => ({ key, step: step + 1, at: Date.parse(`${timestamp}Z`), value }))
      .filter((point) => point.step > (sent[key] ?? 0)),
  )
}

function factsOf(run: Run): RunFacts {
  const { payload, state } = run
  const name = payload.name ?? payload.output_model ?? run.id
  return {
    job: run.id,
    name,
    startedAt: Date.parse(`${state.started_at}Z`),
    params: { ...paramsOf(payload), ...(state.steps_total ? { steps_total: state.steps_total } : {}) },
    tags: {
      'nemo.namespace': payload.namespace,
      'nemo.base_model': payload.config_snapshot.base_model,
      'nemo.dataset': payload.dataset,
      ...(payload.output_model ? { 'nemo.output_model': payload.output_model } : {}),
    },
  }
}
