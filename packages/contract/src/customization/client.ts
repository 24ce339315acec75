// SPDX-License-Identifier: Apache-2.0
import { UpstreamError } from '../errors.ts'
import type { Pagination } from '../paging.ts'
import type { Config, FlatStatus, Job, JobCreate, JobLogs, Target } from './schemas.ts'

export interface CustomizationClientOptions {
  /** Where the customizer answers, such as `http://nemo-customizer:8000`; `/v1/…` is added. */
  baseUrl: string
  fetch?: typeof globalThis.fetch
}

export interface CustomizationPage<T> {
  object: 'list'
  data: T[]
  pagination: Pagination
}

export type CustomizationClient = ReturnType<typeof createCustomizationClient>

/** A typed client of the customizer, for the platform's own programs. Answers that are not 2xx throw UpstreamError. */
export function createCustomizationClient(options: CustomizationClientOptions) {
  const base = `${options.baseUrl.replace(/\/+$/, '')}/v1/customization`
  const call = options.fetch ?? globalThis.fetch
  async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const url = base + path
    const init = body === undefined ? {} : { body: JSON.stringify(body), headers: JSON_HEADERS }
    const response = await call(url, { method, ...init })
    const answer = await response.text()
    if (!response.ok) throw new UpstreamError({ status: response.status, url, body: answer, method })
    return JSON.parse(answer) as T
  }
  const list = <T>(path: string, query: Record<string, string> = {}) =>
    send<CustomizationPage<T>>('GET', `${path}?${new URLSearchParams(query)}`)
  const job = (id: string) => `/jobs/${encodeURIComponent(id)}`
  return {
    /** Query keys are written as on the wire, such as `filter[name]`. */
    listTargets: (query?: Record<string, string>) => list<Target>('/targets', query),
    listConfigs: (query?: Record<string, string>) => list<Config>('/configs', query),
    listJobs: (query?: Record<string, string>) => list<Job>('/jobs', query),
    createJob: (body: Partial<JobCreate> & Pick<JobCreate, 'config' | 'dataset' | 'hyperparameters'>) =>
      send<Job>('POST', '/jobs', body),
    getJob: (id: string) => send<Job>('GET', job(id)),
    jobStatus: (id: string) => send<FlatStatus>('GET', `${job(id)}/status`),
    jobLogs: (id: string) => send<JobLogs>('GET', `${job(id)}/container-logs`),
    cancelJob: (id: string) => send<Job>('POST', `${job(id)}/cancel`),
  }
}

const JSON_HEADERS = { 'content-type': 'application/json' }
