// SPDX-License-Identifier: Apache-2.0
// The part of autocannon 8 that the benchmarks use; it brings no types.
declare module 'autocannon' {
  interface Request {
    method?: string
    path?: string
    body?: string
    headers?: Record<string, string>
    setupRequest?: (request: Request) => Request
  }
  interface Options {
    url: string
    connections?: number
    /** Seconds; `amount` ends the run after so many requests instead. */
    duration?: number
    amount?: number
    requests?: Request[]
  }
  interface Result {
    requests: { total: number; average: number }
    latency: { p50: number; p99: number }
    non2xx: number
    errors: number
    /** Seconds. */
    duration: number
  }
  export default function autocannon(options: Options): Promise<Result>
}
