// SPDX-License-Identifier: Apache-2.0
import { type Memory, postJson, type Tracker, TrackerError } from './tracker.ts'

export interface WandbSettings {
  project: string
  entity: string | undefined
  /** What the run is called instead of the job. */
  displayName: string | undefined
  notes: string | undefined
  tags: string[]
}

const UPSERT = `mutation UpsertBucket($name: String!, $project: String, $entity: String, $displayName: String,
  $notes: String, $config: JSONString, $tags: [String!], $state: String) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, displayName: $displayName,
    notes: $notes, config: $config, tags: $tags, state: $state}) {
    bucket { id name displayName project { id name entity { id name } } }
    inserted
  }
}`

/** Logs to Weights & Biases as its SDK does: a run by GraphQL, its history as a stream of lines. */
export function createWandb(on: {
  baseUrl: string
  apiKey: string
  settings: WandbSettings
  fetch: typeof globalThis.fetch
}): Tracker {
  const base = on.baseUrl.replace(/\/+$/, '')
  const headers = { authorization: `Basic ${Buffer.from(`api:${on.apiKey}`).toString('base64')}` }
  const stream = ({ entity, project, run }: Memory, body: unknown) => {
    const path = [entity, project, run].map((part) => encodeURIComponent(String(part))).join('/')
    return postJson(on.fetch, `${base}/files/${path}/file_stream`, body, headers)
  }

  return {
    name: 'Weights & Biases',
    where: base,
    async begin(facts): Promise<Memory> {
      // The same name again is the same run, so that a restart goes on with it.
      const run = facts.job
      const { settings } = on
      const config = Object.entries(facts.params).map(([key, value]) => [key, { value }])
      const answer = await postJson(
        on.fetch,
        `${base}/graphql`,
        {
          query: UPSERT,
          variables: {
            name: run,
            project: settings.project,
            entity: settings.entity ?? null,
            displayName: settings.displayName ?? facts.name,
            notes: settings.notes ?? null,
            tags: settings.tags,
            config: JSON.stringify(Object.fromEntries(config)),
            state: 'running',
          },
        },
        headers,
      )
      const { errors, data } = answer as { errors?: { message?: string }[]; data?: Upserted }
      if (errors?.length) throw new TrackerError(`it refused the run: ${errors[0]?.message}`, true)
      const bucket = data?.upsertBucket?.bucket
      const entity = bucket?.project?.entity?.name
      if (!entity) throw new TrackerError('it gave no run', true)
      return {
        run,
        entity,
        project: bucket?.project?.name ?? settings.project,
        line: 0,
        started: facts.startedAt,
      }
    },
    async log(memory, points) {
      if (points.length === 0) return memory
      const lines = historyOf(memory, points)
      const line = Number(memory.line)
      const summary = lines.at(-1) ?? {}
      const last = Object.assign({}, ...lines)
      await stream(memory, {
        files: {
          'wandb-history.jsonl': { offset: line, content: lines.map((each) => JSON.stringify(each)) },
          'wandb-summary.json': { offset: 0, content: [JSON.stringify({ ...last, ...summary })] },
        },
      })
      return { ...memory, line: line + lines.length }
    },
    async end(memory, ending) {
      await stream(memory, { complete: true, exitcode: ending === 'completed' ? 0 : 1 })
    },
  }
}

interface Upserted {
  upsertBucket?: { bucket?: { project?: { name?: string; entity?: { name?: string } } } }
}

/** One line a step, with all that is known of it. */
function historyOf(memory: Memory, points: Parameters<Tracker['log']>[1]): Record<string, number>[] {
  const lines = new Map<number, Record<string, number>>()
  for (const { key, step, at, value } of points.toSorted((a, b) => a.step - b.step)) {
    const line = lines.get(step) ?? {
      _step: step,
      _timestamp: at / 1000,
      _runtime: Math.max(0, (at - Number(memory.started)) / 1000),
    }
    line[key] = value
    lines.set(step, line)
  }
  return [...lines.values()]
}
