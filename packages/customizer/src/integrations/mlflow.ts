// SPDX-License-Identifier: Apache-2.0
import {
  type Ending,
  getJson,
  type Memory,
  postJson,
  type RunFacts,
  type Tracker,
  TrackerError,
} from './tracker.ts'

const MAX_METRICS = 1000
const MAX_PARAMS = 100
// What MLflow takes of a value.
const MAX_PARAM = 6000
const MAX_TAG = 5000
const STATUS: Record<Ending, string> = { completed: 'FINISHED', failed: 'FAILED', cancelled: 'KILLED' }

/** Logs to an MLflow server by its REST API: a run for each job, in an experiment of this name. */
export function createMlflow(on: {
  url: string
  experiment: string
  tags?: Record<string, string>
  fetch: typeof globalThis.fetch
}): Tracker {
  // A user and a password in the URL are for the header.
  const given = new URL(on.url)
  const headers: Record<string, string> = {}
  if (given.username) {
    const login = `${decodeURIComponent(given.username)}:${decodeURIComponent(given.password)}`
    headers.authorization = `Basic ${Buffer.from(login).toString('base64')}`
  }
  given.username = ''
  given.password = ''
  const base = `${given.href.replace(/\/+$/, '')}/api/2.0/mlflow`
  const call = (path: string, body: unknown) => postJson(on.fetch, `${base}/${path}`, body, headers)

  async function findExperiment(): Promise<string | undefined> {
    const url = `${base}/experiments/get-by-name?experiment_name=${encodeURIComponent(on.experiment)}`
    try {
      const { experiment } = await getJson(on.fetch, url, headers)
      return String((experiment as { experiment_id: string }).experiment_id)
    } catch (err) {
      if (err instanceof TrackerError && err.status === 404) return undefined
      throw err
    }
  }

  async function experimentId(): Promise<string> {
    const known = await findExperiment()
    if (known) return known
    try {
      return String((await call('experiments/create', { name: on.experiment })).experiment_id)
    } catch (err) {
      // Another job has made it meanwhile.
      const made = err instanceof TrackerError && err.status === 400 ? await findExperiment() : undefined
      if (made) return made
      throw err
    }
  }

  async function findRun(experiment: string, job: string): Promise<string | undefined> {
    const found = await call('runs/search', {
      experiment_ids: [experiment],
      filter: `tags.\`nemo.job_id\` = '${job}'`,
      max_results: 1,
    })
    const [run] = (found.runs as { info: { run_id: string } }[] | undefined) ?? []
    return run?.info.run_id
  }

  async function startRun(experiment: string, facts: RunFacts): Promise<string> {
    const tags = { ...on.tags, ...facts.tags, 'nemo.job_id': facts.job }
    const made = await call('runs/create', {
      experiment_id: experiment,
      run_name: facts.name,
      start_time: facts.startedAt,
      tags: Object.entries(tags).map(([key, value]) => ({ key, value: value.slice(0, MAX_TAG) })),
    })
    const id = (made.run as { info?: { run_id?: string } } | undefined)?.info?.run_id
    if (!id) throw new TrackerError('it gave no run', true)
    const params = Object.entries(facts.params).map(([key, value]) => ({
      key,
      value: String(value).slice(0, MAX_PARAM),
    }))
    for (let at = 0; at < params.length; at += MAX_PARAMS) {
      await call('runs/log-batch', { run_id: id, params: params.slice(at, at + MAX_PARAMS) })
    }
    return id
  }

  return {
    name: 'MLflow',
    where: given.href,
    async begin(facts): Promise<Memory> {
      const experiment = await experimentId()
      // Made before a kill that came before it was noted.
      const id = (await findRun(experiment, facts.job)) ?? (await startRun(experiment, facts))
      await call('runs/update', { run_id: id, status: 'RUNNING' })
      return { run_id: id, experiment_id: experiment }
    },
    async log(memory, points) {
      for (let at = 0; at < points.length; at += MAX_METRICS) {
        const metrics = points.slice(at, at + MAX_METRICS).map(({ key, step, at: timestamp, value }) => ({
          key,
          step,
          timestamp,
          value,
        }))
        await call('runs/log-batch', { run_id: memory.run_id, metrics })
      }
      return memory
    },
    async end(memory, ending, at) {
      await call('runs/update', { run_id: memory.run_id, status: STATUS[ending], end_time: at })
    },
  }
}
