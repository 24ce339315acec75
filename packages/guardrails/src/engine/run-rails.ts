// SPDX-License-Identifier: Apache-2.0
import { inSpan } from '@open-nemo/runtime'
import { INTERNAL_ERROR, REFUSAL } from '../config/bot-messages.ts'
import { failureText, ModelError } from '../models/errors.ts'
import type { Rail, Turn } from './compiled.ts'
import type { RailResult, Stage } from './types.ts'

/** A rail that said no, and what the caller is answered. */
export interface Block {
  rail: string
  stage: Stage
  message: string
  reason: string | undefined
  failed: boolean
}

/** How each rail ended, for `rails_status`. */
export type RailStatuses = Record<string, { status: 'success' | 'blocked' }>

export interface StageRun {
  turn: Turn
  stage: Stage
  rails: readonly Rail[]
  /** The text that the rails are about. */
  text: string
  statuses?: RailStatuses
  signal?: AbortSignal
}

export interface StageResult {
  /** As the rails left it. */
  text: string
  block: Block | undefined
}

/** Runs the rails of a stage on a text, one after the other or side by side; stops at the first that blocks. */
export async function runRails(run: StageRun): Promise<StageResult> {
  const { turn, stage, rails } = run
  if (turn.config.parallel[stage] && rails.length > 1) return runBeside(run)
  let { text } = run
  for (const rail of rails) {
    const { result, block } = await runRail(run, rail, text)
    if (block) return { text, block }
    if (result.decision === 'transform' && result.text !== undefined) text = result.text
  }
  return { text, block: undefined }
}

/** The first to block wins, and the others are stopped. */
async function runBeside(run: StageRun): Promise<StageResult> {
  const { text, rails, turn } = run
  const others = new AbortController()
  const signal = AbortSignal.any([run.signal ?? turn.signal, others.signal])
  let first: Block | undefined
  await Promise.all(
    rails.map(async (rail) => {
      const { block } = await runRail({ ...run, signal }, rail, text, () => first !== undefined)
      if (!block || first) return
      first = block
      others.abort(new Error('another rail blocked'))
    }),
  )
  return { text, block: first }
}

interface Ran {
  result: RailResult
  block: Block | undefined
}

/** Runs one rail in a span, so that the models which it asks are below it in the trace. */
async function runRail(
  run: StageRun,
  rail: Rail,
  text: string,
  isOver: () => boolean = () => false,
): Promise<Ran> {
  const { turn, stage } = run
  const spec = { service: 'guardrails', name: `rail ${rail.flow}`, attributes: { 'nemo.stage': stage } }
  return await inSpan({ ...spec, parent: turn.trace }, async (span) => {
    const ran = await decide(run, rail, text, isOver)
    span?.set({ 'nemo.blocked': ran.block !== undefined })
    if (ran.result.failed) span?.fail(ran.result.reason ?? 'no decision')
    return ran
  })
}

async function decide(run: StageRun, rail: Rail, text: string, isOver: () => boolean): Promise<Ran> {
  const { turn, stage, statuses } = run
  const log = turn.log.start(stage, rail.flow)
  const timeout = AbortSignal.timeout(rail.timeoutMs)
  const outer = run.signal ?? turn.signal
  const signal = AbortSignal.any([outer, timeout])
  let result: RailResult
  try {
    result = await withSignal(rail.run({ text, stage, turn, log, signal }), signal)
  } catch (err) {
    // Not the rail's fault: the caller went away, or another rail decided.
    if (outer.aborted) {
      log.end({ stop: false, info: { stopped: true } })
      if (isOver()) return { result: { decision: 'allow' }, block: undefined }
      throw err
    }
    result = failed(
      turn,
      rail,
      timeout.aborted ? `no decision within ${rail.timeoutMs / 1000} s` : reasonOf(err),
    )
  }
  const isBlocked = result.decision === 'block'
  if (statuses) statuses[rail.flow] = { status: isBlocked ? 'blocked' : 'success' }
  const info = { ...result.metadata, ...(result.failed ? { failed: true, reason: result.reason } : {}) }
  if (isBlocked) {
    log.decide(result.botIntent ?? REFUSAL)
    log.decide('stop')
  }
  log.end({ stop: isBlocked, ...(Object.keys(info).length ? { info } : {}) })
  return { result, block: isBlocked ? blockOf(run, rail, result) : undefined }
}

function blockOf({ turn, stage }: StageRun, rail: Rail, result: RailResult): Block {
  const message = result.message ?? turn.config.botMessage(result.botIntent ?? REFUSAL)
  return { rail: rail.flow, stage, message, reason: result.reason, failed: result.failed ?? false }
}

/** A rail that cannot decide blocks, unless the configuration lets its text pass. */
function failed(turn: Turn, rail: Rail, reason: string): RailResult {
  turn.failures.push({ rail: rail.flow, reason })
  turn.services.onRailFailure?.({ rail: rail.flow, reason })
  if (rail.onError === 'allow') return { decision: 'allow', reason, failed: true }
  return { decision: 'block', reason, failed: true, botIntent: INTERNAL_ERROR }
}

function reasonOf(err: unknown): string {
  if (err instanceof ModelError) return `${err.message}`
  return failureText(err)
}

/** The work, or the signal's reason as soon as it is aborted: a rail may not listen to it. */
export function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined)
    return Promise.reject(signal.reason)
  }
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
