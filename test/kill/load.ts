// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../packages/runtime/src/testing/hostile.ts'
import { acknowledged, NotAcknowledged, post, read, readObject, unlike } from './calls.ts'
import type { Ledger } from './ledger.ts'
import type { Victim } from './platform.ts'
import { commitTwoFiles, pushCommit, REPO, SPACE, uploadLfs, uploadOpenAiFile } from './store-load.ts'

export const BASE = 'smollm2/smollm2-135m-instruct'
const ENDED = ['completed', 'failed', 'cancelled']
const MAX_WAITING_JOBS = 3

/** What every kind of work gets. */
export interface Work {
  victim: Victim
  ledger: Ledger
  random: Random
  /** Folder for clones of git. */
  dir: string
  /** A number that no other piece of work has. */
  serial(): number
}

type Kind = (work: Work) => Promise<void>

/** The mixed load: each kind with how many loops do it at a time. */
const KINDS: Record<string, { work: Kind; loops: number; pauseMs: number }> = {
  commits: { work: commitTwoFiles, loops: 2, pauseMs: 50 },
  uploads: { work: uploadLfs, loops: 1, pauseMs: 100 },
  files: { work: uploadOpenAiFile, loops: 1, pauseMs: 100 },
  pushes: { work: pushCommit, loops: 1, pauseMs: 1500 },
  entities: { work: createEntities, loops: 1, pauseMs: 400 },
  guardrails: { work: createGuardrail, loops: 1, pauseMs: 600 },
  jobs: { work: customize, loops: 1, pauseMs: 400 },
  evaluations: { work: evaluate, loops: 1, pauseMs: 4000 },
  chats: { work: chat, loops: 1, pauseMs: 20 },
}

export interface Load {
  /** Acknowledged pieces of work by kind. */
  done: Record<string, number>
  /** Why pieces were not, by kind; for a look when a kind never succeeds. */
  refusals: Record<string, string>
  stop(): Promise<void>
}

/** Makes what the load needs: namespaces, a repository, a dataset. */
export async function prepare({ victim }: Pick<Work, 'victim'>): Promise<void> {
  const { platform, dataStore } = victim.urls
  await post(`${platform}/v1/namespaces`, { id: SPACE })
  await post(`${dataStore}/v1/hf/api/repos/create`, {
    name: REPO,
    organization: SPACE,
    type: 'dataset',
  })
  const rows = Array.from({ length: 48 }, (_, i) => ({ prompt: `q${i}`, completion: `a${i}`, answer: 'a' }))
  const lines = rows.map((row) => JSON.stringify(row)).join('\n')
  const files = {
    'training/rows.jsonl': lines,
    'testing/rows.jsonl': lines.split('\n').slice(0, 2).join('\n'),
  }
  const operations = Object.entries(files).map(([path, text]) => ({
    key: 'file',
    value: { path, content: Buffer.from(`${text}\n`).toString('base64'), encoding: 'base64' },
  }))
  const body = [{ key: 'header', value: { summary: 'rows' } }, ...operations]
  await acknowledged(`${dataStore}/v1/hf/api/datasets/${SPACE}/${REPO}/commit/main`, {
    method: 'POST',
    body: body.map((line) => JSON.stringify(line)).join('\n'),
  })
  await post(`${platform}/v1/datasets`, {
    name: REPO,
    namespace: SPACE,
    files_url: `hf://datasets/${SPACE}/${REPO}`,
  })
}

/** Begins the load; it goes on through kills, since clients do not know of them. */
export function startLoad(work: Work): Load {
  const stopping = new AbortController()
  const done: Record<string, number> = {}
  const refusals: Record<string, string> = {}
  const faults: Error[] = []
  const loops = Object.entries(KINDS).flatMap(([name, kind]) =>
    Array.from({ length: kind.loops }, async () => {
      while (!stopping.signal.aborted) {
        try {
          await kind.work(work)
          done[name] = (done[name] ?? 0) + 1
        } catch (err) {
          if (!(err instanceof NotAcknowledged)) faults.push(err as Error)
          refusals[name] = String(err).slice(0, 300)
          await sleep(100)
        }
        await sleep(kind.pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }),
  )
  return {
    done,
    refusals,
    async stop() {
      stopping.abort()
      await Promise.all(loops)
      if (faults[0]) throw faults[0]
    },
  }
}

async function createEntities({ victim, ledger, serial }: Work): Promise<void> {
  const name = `project-${serial()}`
  const url = `${victim.urls.platform}/v1/projects`
  const made = await post<{ id: string }>(url, { name, namespace: SPACE, description: name })
  ledger.add({
    what: `project ${name}`,
    check: async () => {
      const found = await readObject(`${url}/${SPACE}/${name}`)
      return found?.id === made.id && found.description === name ? undefined : `is ${JSON.stringify(found)}`
    },
  })
}

async function createGuardrail({ victim, ledger, serial }: Work): Promise<void> {
  const name = `rails-${serial()}`
  const url = `${victim.urls.platform}/v1/guardrail/configs`
  const data = { instructions: [{ type: 'general', content: name }], models: [] }
  await post(url, { name, namespace: SPACE, data })
  ledger.add({
    what: `guardrail config ${name}`,
    check: async () => {
      const text = await read(`${url}/${SPACE}/${name}`)
      return text === undefined ? 'it is gone' : text.includes(name) ? undefined : `is ${text.slice(0, 200)}`
    },
  })
}

async function chat({ victim, random }: Work): Promise<void> {
  const answer = await post<{ choices: { message: { content: string } }[] }>(
    `${victim.urls.nim}/v1/chat/completions`,
    {
      model: BASE,
      messages: [{ role: 'user', content: `Say ${random.integer(1, 99)}.` }],
      max_tokens: random.integer(1, 12),
    },
  )
  if (!answer.choices[0]) throw new Error(`a chat was answered with ${JSON.stringify(answer)}`)
}

async function customize({ victim, ledger, serial }: Work): Promise<void> {
  const url = `${victim.urls.platform}/v1/customization/jobs`
  await roomFor(url)
  const model = `${SPACE}/tuned-${serial()}@v1`
  const job = await post<{ id: string }>(url, {
    config: `${BASE}@v1.0.0+cpu`,
    dataset: { namespace: SPACE, name: REPO },
    output_model: model,
    hyperparameters: {
      training_type: 'sft',
      finetuning_type: 'lora',
      epochs: 2,
      batch_size: 8,
      learning_rate: 0.001,
      lora: { adapter_dim: 8 },
    },
  })
  ledger.add({
    what: `customization job ${job.id}`,
    check: () => checkJob(`${url}/${job.id}`, model, victim),
  })
}

async function evaluate({ victim, ledger }: Work): Promise<void> {
  const url = `${victim.urls.platform}/v1/evaluation/jobs`
  await roomFor(url)
  const check = { type: 'string-check', params: { check: ['{{sample.output_text}}', 'contains', 'a'] } }
  const template = { messages: [{ role: 'user', content: '{{item.prompt}}' }], max_tokens: 2 }
  const task = {
    type: 'chat-completion',
    dataset: { files_url: `hf://datasets/${SPACE}/${REPO}/testing/rows.jsonl` },
    params: { template },
    metrics: { has: check },
  }
  const job = await post<{ id: string }>(url, {
    namespace: SPACE,
    target: { type: 'model', model: BASE },
    config: { type: 'custom', tasks: { qa: task } },
  })
  ledger.add({ what: `evaluation job ${job.id}`, check: () => checkJob(`${url}/${job.id}`) })
}

/** Refuses to add to a long queue, as its users would. */
async function roomFor(url: string): Promise<void> {
  const list = JSON.parse(await acknowledged(`${url}?page_size=20&sort=-created_at`)) as {
    data: { status: string }[]
  }
  if (list.data.filter((job) => !ENDED.includes(job.status)).length >= MAX_WAITING_JOBS)
    throw new NotAcknowledged('the queue is long enough')
}

interface JobAnswer {
  status: string
  status_details?: { status_logs?: { message: string; detail?: string }[]; message?: string | null }
}

/** A job is there; one that has failed says why, and one that has completed has made what it was to make. */
async function checkJob(url: string, model?: string, victim?: Victim): Promise<string | undefined> {
  const job = (await readObject(url)) as JobAnswer | undefined
  if (!job) return 'it is gone'
  const { status, status_details: details } = job
  if (status === 'failed') {
    const reason = details?.message || details?.status_logs?.findLast((log) => log.detail)?.detail
    return reason ? undefined : 'it failed without a reason'
  }
  if (status === 'completed' && model && victim) {
    const entity = await readObject(`${victim.urls.platform}/v1/models/${model}`)
    if (!entity) return `it has completed, and ${model} is not there`
    const [repo] = model.split('@')
    const file = `${victim.urls.dataStore}/v1/hf/${repo}/resolve/main/adapter_model.safetensors`
    return unlike(await read(file), 'weights')
  }
  return undefined
}

/** The jobs that have not ended, until `ms` have passed. */
export async function waitForJobs(victim: Victim, ms: number): Promise<string[]> {
  const until = Date.now() + ms
  for (;;) {
    const open: string[] = []
    for (const kind of ['customization', 'evaluation']) {
      const text = await read(`${victim.urls.platform}/v1/${kind}/jobs?page_size=1000&sort=-created_at`)
      const { data } = JSON.parse(text ?? '{"data":[]}') as { data: { id: string; status: string }[] }
      open.push(...data.filter((job) => !ENDED.includes(job.status)).map((job) => `${job.id} ${job.status}`))
    }
    if (open.length === 0 || Date.now() > until) return open
    await sleep(500)
  }
}
