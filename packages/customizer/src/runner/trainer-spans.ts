// SPDX-License-Identifier: Apache-2.0
import { type Span, tracing } from '@open-nemo/runtime'

/** Makes spans of what a trainer tells. */
export interface TrainerSpans {
  /** Takes in events as they come; without traces it does nothing. */
  take(events: readonly Record<string, unknown>[]): void
  /** The trainer has ended or is not followed any more. */
  end(): void
}

/**
 * Spans of one execution of the trainer, below the active span: the training from its start to its end, and each
 * step in it. They have the trainer's own times, since events may be read late. A trainer that is attached again
 * goes on in a new one.
 */
export function trainerSpans(job: string): TrainerSpans {
  let training: Span | undefined
  let last: Date | undefined

  function begin(event: Record<string, unknown>, at: Date): Span {
    last ??= at
    training ??= tracing()?.begin({
      service: 'trainer',
      name: 'training',
      at,
      attributes: { 'nemo.job': job, ...numbers(event, ['steps_total', 'train_rows', 'resumed_from_step']) },
    })
    return training as Span
  }
  function close(event: Record<string, unknown>, at: Date): void {
    if (event.event === 'failed') training?.fail(event.message ?? 'the trainer failed')
    training?.set(numbers(event, ['train_loss', 'val_loss', 'best_epoch', 'steps']))
    training?.end(at)
    training = undefined
  }
  function takeOne(event: Record<string, unknown>): void {
    const to = tracing()
    const at = new Date(String(event.t))
    if (!to || Number.isNaN(at.getTime())) return
    const parent = begin(event, at)
    if (event.event === 'progress' || event.event === 'validation') {
      const name = event.event === 'progress' ? 'training step' : 'validation'
      const attributes = numbers(event, ['step', 'epochs_completed', 'train_loss', 'val_loss'])
      // A restarted trainer's clock may stand before what the last one said.
      const from = last && last < at ? last : at
      to.inside(parent, () => to.begin({ service: 'trainer', name, at: from, attributes }).end(at))
    }
    last = at
    if (event.event === 'completed' || event.event === 'failed') close(event, at)
  }
  return {
    take(events) {
      if (!tracing()) return
      for (const event of events) takeOne(event)
    },
    end() {
      training?.end()
      training = undefined
    },
  }
}

function numbers(event: Record<string, unknown>, names: string[]): Record<string, number> {
  return Object.fromEntries(
    names.flatMap((name) => (typeof event[name] === 'number' ? [[`nemo.${name}`, event[name]]] : [])),
  )
}
