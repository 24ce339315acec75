// SPDX-License-Identifier: Apache-2.0
import type { Dispatcher } from 'undici'
import type { Answer, Outgoing } from './transport.ts'

type Controller = Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/** Answers up to this size are sent on whole. */
const WHOLE_BYTES = 1024 * 1024
const NO_BODY = new Set([204, 205, 304])

/** Sends one request, and resolves when its answer has begun (a stream) or is here (a short one). */
export function exchange(agent: Dispatcher, target: URL, outgoing: Outgoing): Promise<Answer> {
  const { headers, body } = outgoing
  return new Promise((resolve, reject) => {
    const path = target.pathname + target.search
    const handler = new Exchange(outgoing.signal, resolve, reject)
    agent.dispatch({ origin: target.origin, path, method: 'POST', headers, body }, handler)
  })
}

class Exchange implements Dispatcher.DispatchHandler {
  #signal: AbortSignal
  #resolve: (answer: Answer) => void
  #reject: (err: unknown) => void
  #controller: Controller | undefined
  #begun: Omit<Answer, 'body'> | undefined
  #chunks: Buffer[] | undefined
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined

  constructor(signal: AbortSignal, resolve: (answer: Answer) => void, reject: (err: unknown) => void) {
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal.addEventListener('abort', this.#hangUp, { once: true })
    if (signal.aborted) this.#hangUp()
  }

  #hangUp = () => {
    this.#controller?.abort(this.#signal.reason)
    this.#reject(this.#signal.reason)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#signal.aborted) controller.abort(this.#signal.reason)
  }

  onResponseStart(controller: Controller, status: number, headers: Headers): void {
    if (status < 200) return
    const get = (name: string) => {
      const value = headers[name]
      return typeof value === 'string' ? value : null
    }
    this.#begun = { status, headers: { get } }
    if (Number(get('content-length') ?? Number.NaN) <= WHOLE_BYTES) {
      this.#chunks = []
      return
    }
    const body = new ReadableStream<Uint8Array>({
      start: (stream) => {
        this.#stream = stream
      },
      pull: () => controller.resume(),
      cancel: () => {
        this.#stream = undefined
        controller.abort(new Error('the reader has gone'))
      },
    })
    this.#resolve({ ...this.#begun, body })
  }

  onResponseData(controller: Controller, chunk: Buffer<ArrayBuffer>): void {
    // After a pause comes an empty piece, which would pause again, and so on for ever.
    if (chunk.length === 0) return
    if (this.#chunks) this.#chunks.push(chunk)
    this.#stream?.enqueue(chunk)
    if ((this.#stream?.desiredSize ?? 1) <= 0) controller.pause()
  }

  onResponseEnd(): void {
    this.#end()
    this.#stream?.close()
    if (!this.#chunks || !this.#begun) return
    const body = NO_BODY.has(this.#begun.status) ? null : joined(this.#chunks)
    this.#resolve({ ...this.#begun, body })
  }

  onResponseError(_controller: Controller, err: Error): void {
    this.#end()
    const isOurs = this.#signal.aborted || !this.#begun
    const told = isOurs ? err : new Error(`the upstream broke off its answer: ${err.message}`)
    this.#stream?.error(told)
    this.#reject(told)
  }

  #end(): void {
    this.#signal.removeEventListener('abort', this.#hangUp)
  }
}

const joined = (chunks: Buffer[]) =>
  (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)) as Buffer<ArrayBuffer>
