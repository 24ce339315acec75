// SPDX-License-Identifier: Apache-2.0
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { EvaluationDataset } from '@open-nemo/contract/evaluation/schemas.ts'
import type { Database } from '@open-nemo/runtime'
import type { EvaluatorConfig } from '../config.ts'
import { type DataContext, readRows } from '../data/rows.ts'
import type { Redactor } from '../entities/secrets.ts'
import type { EvaluationRequest, RunContext } from '../kinds/types.ts'
import { createModelClient } from '../model/client.ts'
import { type ModelContext, resolveModel } from '../model/resolve.ts'
import type { TemplateEngine } from '../templates/types.ts'
import { openIndex } from '../vectors/open.ts'
import type { Kept } from './kept.ts'
import type { Recorder } from './recorder.ts'

/** What runs have in common. */
export interface RunServices {
  settings: EvaluatorConfig
  models: ModelContext
  data: DataContext
  templates: TemplateEngine
  fetch: typeof globalThis.fetch
  /** Folder with one work folder for each job. */
  dir: string
  /** Downloads that jobs share. */
  cacheDir: string
  db: Database
}

/** What a kind works with for one run. */
export function createRunContext(
  services: RunServices,
  run: {
    jobId: string
    request: EvaluationRequest
    recorder: Recorder
    kept: Kept
    redact: Redactor
    signal: AbortSignal
  },
): RunContext {
  const { settings, models, data } = services
  const { request, recorder, redact, signal } = run
  const params = request.config.params ?? {}
  const parallelism = params.parallelism ?? settings.parallelism
  const log = (message: string, task = '') => recorder.log({ message, task })
  return {
    jobId: run.jobId,
    request,
    settings,
    signal,
    fetch: services.fetch,
    templates: services.templates,
    parallelism,
    rows: (dataset: EvaluationDataset) => readRows(data, dataset, signal),
    openIndex: (name) => openIndex({ env: settings.env, db: services.db }, `${run.jobId}-${name}`),
    async model(model, options = {}) {
      const endpoint = await resolveModel(models, model)
      if (endpoint.apiKey) redact.add(endpoint.apiKey)
      redact.add(endpoint.url)
      return createModelClient(endpoint, {
        fetch: services.fetch,
        signal,
        parallelism: options.parallelism ?? parallelism,
        requestTimeoutMs:
          (options.requestTimeout ?? params.request_timeout ?? settings.requestTimeout) * 1000,
        maxRetries: options.maxRetries ?? params.max_retries ?? DEFAULT_RETRIES,
        log: (message) => log(message),
        redact: redact.text,
      })
    },
    log,
    async workdir() {
      const path = join(services.dir, run.jobId)
      await mkdir(path, { recursive: true })
      return path
    },
    kept: run.kept,
    cacheDir: services.cacheDir,
    dataStoreUrl: data.dataStoreUrl,
    artifact: (path, content) => recorder.artifact(path, content),
  }
}

const DEFAULT_RETRIES = 5
