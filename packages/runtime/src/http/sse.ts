// SPDX-License-Identifier: Apache-2.0

const encoder = new TextEncoder()

/**
 * Streams values as server-sent events and ends with `[DONE]`. A failure in the middle is sent as a last event with
 * OpenAI's `error` object, which clients raise. When the reader goes away, `abort` is aborted.
 */
export function eventStream(
  values: AsyncGenerator<unknown>,
  abort: AbortController,
  describe: (err: unknown) => Promise<unknown>,
): Response {
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await values.next()
        if (!done) return controller.enqueue(encoder.encode(`data: ${JSON.stringify(value)}\n\n`))
        controller.enqueue(encoder.encode('data: [DONE]\n\n'))
      } catch (err) {
        if (abort.signal.aborted) return controller.error(err)
        // No [DONE] after it: the answer is not whole.
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(await describe(err))}\n\n`))
      }
      controller.close()
    },
    async cancel() {
      abort.abort()
      await values.return(undefined).catch(() => undefined)
    },
  })
  const headers = {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  }
  return new Response(body, { headers })
}
