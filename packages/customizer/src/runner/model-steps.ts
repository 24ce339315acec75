// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { UpstreamError } from '@open-nemo/contract'
import { createDataStoreClient, type DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import type { CommitFile } from '@open-nemo/contract/data-store/commit-body.ts'
import { formatFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import type { Model, ModelCreate } from '@open-nemo/contract/entity-store/schemas.ts'
import type { ServiceContext } from '@open-nemo/runtime'
import type { SourceContext } from '../data/source.ts'
import { type OutputModel, parseOutputModel } from '../jobs/output-model.ts'
import { retry } from './retry.ts'
import { JobFailure, type Run, throwIfStopped } from './run.ts'

export interface ModelContext extends SourceContext {
  catalogue: ServiceContext['catalogue']
  inferenceUrl: string
  serveWaitMs: number
}

const POLL_MS = 500

/** The job's model; one that asked for none gets a repository named by its id, and no entity. */
export function outputOf(run: Pick<Run, 'id' | 'payload'>): OutputModel {
  return parseOutputModel(run.payload.output_model ?? `${run.payload.namespace}/${run.id}@${run.id}`, run.id)
}

/** Commits the adapter, or the whole model, to the Data Store and tags it with the model's version. Run again, it finds what is done. */
export async function adapterStep(ctx: ModelContext, run: Run): Promise<void> {
  await run.tell('EntityHandler_1_Created', undefined, true)
  await run.tell('EntityHandler_1_Pending', undefined, true)
  const output = outputOf(run)
  await run.tell('EntityHandler_1_Running', `storing ${output.full}`)
  const client = createDataStoreClient({ baseUrl: ctx.dataStoreUrl, fetch: ctx.fetch })
  const commit = await retry(() => commitAdapter(ctx, { client, run, output }), run.signal)
  await run.update((state) => ({ ...state, commit }))
}

async function commitAdapter(
  ctx: ModelContext,
  { client, run, output }: { client: DataStoreClient; run: Run; output: OutputModel },
): Promise<string> {
  const repo = { type: 'model' as const, id: `${output.namespace}/${output.name}` }
  await client.createRepo({ ...repo, existOk: true })
  const { tags } = await client.listRefs(repo)
  const tag = tags.find((ref) => ref.name === output.version)
  const mark = `job ${run.id}`
  if (tag) {
    const commits = await client.listCommits({ ...repo, revision: output.version })
    if (isOf(commits[0], mark)) return tag.targetCommit
    throw new JobFailure(
      `model or dataset with name ${output.full} already exists: the repository has this tag`,
    )
  }
  const done = (await client.listCommits(repo)).find((commit) => isOf(commit, mark))
  const commit =
    done?.id ??
    (
      await client.commit({
        ...repo,
        message: `${isWhole(run) ? 'Model' : 'Adapter'} ${output.version} (${mark})`,
        files: [...(await outputFiles(ctx, run)), originFile(run)],
        signal: run.signal,
      })
    ).commitOid
  await client.createTag({ ...repo, revision: commit, tag: output.version, existOk: true })
  return commit
}

function isOf(commit: { title: string; message: string } | undefined, mark: string): boolean {
  return commit !== undefined && `${commit.title}\n${commit.message}`.includes(`(${mark})`)
}

async function outputFiles(ctx: ModelContext, run: Run): Promise<CommitFile[]> {
  const folder = join(run.workdir, 'output')
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const sign = isWhole(run) ? 'model.safetensors' : 'adapter_config.json'
  if (!paths.some((path) => path.endsWith(sign))) {
    throw new JobFailure(`the trainer left no ${sign} in its output folder`)
  }
  return paths.map((path) => ({
    path: relative(folder, path),
    content: () =>
      relative(folder, path) === 'adapter_config.json'
        ? adapterConfig(ctx, run, path)
        : (Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>),
  }))
}

/** PEFT's file with the sha256 of the base weights, by which a server knows whether the adapter fits its own. */
async function adapterConfig(ctx: ModelContext, run: Run, path: string): Promise<string> {
  const config = JSON.parse(await readFile(path, 'utf8'))
  // A model kept as a folder is served from a file made of it, whose sum is another.
  const isFile = ctx.catalogue.resolve(run.payload.config_snapshot.base_model)?.kind === 'gguf'
  if (isFile) config.base_model_sha256 = run.state.weights_sha256
  return `${JSON.stringify(config, null, 2)}\n`
}

/** Whether the job makes a model of its own, and no adapter. */
function isWhole({ payload }: Pick<Run, 'payload'>): boolean {
  return payload.hyperparameters.finetuning_type !== 'lora'
}

function whatItIs(run: Run): string {
  if (!isWhole(run)) return 'LoRA adapter of'
  return run.payload.hyperparameters.finetuning_type === 'all_weights' ? 'All weights of' : 'Merged LoRA of'
}

/** Which weights the adapter belongs to: it is of no use, or worse, on others. */
function originFile(run: Run): CommitFile {
  const { config_snapshot, config, dataset } = run.payload
  const content = {
    job: run.id,
    config,
    dataset,
    base_model: config_snapshot.base_model,
    base_model_sha256: run.state.weights_sha256,
  }
  return { path: 'training_origin.json', content: `${JSON.stringify(content, null, 2)}\n` }
}

/** Creates the model entity. An entity of the same name that another job or a user made fails the job. */
export async function entityStep(ctx: ModelContext, run: Run): Promise<void> {
  if (run.payload.output_model === null) return
  const output = outputOf(run)
  await run.tell('EntityHandler_1_Running', `registering the model ${output.full}`)
  await retry(() => createEntity(ctx, run, output), run.signal)
}

async function createEntity(ctx: ModelContext, run: Run, output: OutputModel): Promise<void> {
  const name = `${output.name}@${output.version}`
  const { models, namespaces } = ctx.entities
  const body = modelEntity(ctx, run, output)
  const found = await models.find(output.namespace, name)
  if (found) return await updateOwn(found)
  await namespaces.ensure(output.namespace)
  try {
    await models.create(body)
  } catch (err) {
    const isTaken = err instanceof UpstreamError && err.status === 409
    const other = isTaken ? await models.find(output.namespace, name) : undefined
    if (!other) throw err
    await updateOwn(other)
  }

  async function updateOwn(entity: Model): Promise<void> {
    if (entity.custom_fields.job_id !== run.id) {
      throw new JobFailure(`model or dataset with name ${output.full} already exists`)
    }
    const { name: _name, namespace: _namespace, ...rest } = body
    await models.update(output.namespace, name, rest)
  }
}

function modelEntity(ctx: ModelContext, run: Run, output: OutputModel): ModelCreate {
  const { payload, state } = run
  const baseModel = payload.config_snapshot.base_model
  const model = ctx.catalogue.resolve(baseModel)
  const alias = ctx.catalogue.isAlias(baseModel) && model ? ` (weights of ${model.id})` : ''
  const { description, project, ownership } = payload.kept as Record<string, string | undefined>
  return {
    namespace: output.namespace,
    name: `${output.name}@${output.version}`,
    description: description ?? `${whatItIs(run)} ${baseModel}${alias}, tuned on ${payload.dataset}`,
    ...(project ? { project } : {}),
    ...(ownership ? { ownership: ownership as unknown as Record<string, never> } : {}),
    base_model: baseModel,
    ...(model ? { spec: { ...model.spec } } : {}),
    artifact: {
      files_url: formatFilesUrl({
        type: 'model',
        id: `${output.namespace}/${output.name}`,
        revision: output.version,
      }),
      status: 'upload_completed',
      backend_engine: 'hugging_face',
      gpu_arch: 'cpu',
      precision: payload.task === 'embedding' ? 'fp32' : 'bf16-mixed',
      tensor_parallelism: 1,
    },
    ...(isWhole(run)
      ? {}
      : { peft: { finetuning_type: 'lora' as const, lora: payload.hyperparameters.lora ?? null } }),
    custom_fields: {
      ...(payload.kept.custom_fields as Record<string, unknown> | undefined),
      job_id: run.id,
      dataset: payload.dataset,
      commit: state.commit,
      base_model_sha256: state.weights_sha256,
    },
  }
}

/** Asks the inference service to take the model up, and waits a while until it is served; not being is a warning. */
export async function serveStep(ctx: ModelContext, run: Run): Promise<void> {
  const output = outputOf(run)
  if (run.payload.output_model !== null) {
    await run.tell('EntityHandler_1_Running', `waiting until ${output.full} is served`)
    const problem = await waitServed(ctx, output.full, run.signal)
    if (problem) {
      const warning = { message: `${output.full} is stored, but not served yet`, explanation: problem }
      await run.update((state) => ({ ...state, warnings: [...state.warnings, warning] }))
    }
  }
  const where =
    run.payload.output_model === null ? `files at hf://${output.namespace}/${output.name}` : output.full
  await run.tell('EntityHandler_1_Completed', where)
}

/** Why the model is not served after the time allowed, or undefined once it is. */
async function waitServed(ctx: ModelContext, name: string, signal: AbortSignal): Promise<string | undefined> {
  const end = Date.now() + ctx.serveWaitMs
  const call = (path: string, init: RequestInit = {}) =>
    ctx.fetch(ctx.inferenceUrl + path, { ...init, signal })
  await call('/v1/internal/refresh', { method: 'POST' })
    .then((response) => response.arrayBuffer())
    .catch(() => undefined)
  let problem = 'GET /v1/models of the inference service did not list it in time'
  for (;;) {
    throwIfStopped(signal)
    try {
      const response = await call('/v1/models')
      if (response.status === 501) return 'there is no inference service in this installation'
      const { data } = (await response.json()) as { data?: { id?: unknown }[] }
      if (data?.some((model) => model.id === name)) return undefined
    } catch (err) {
      problem = `the inference service did not answer: ${err instanceof Error ? err.message : err}`
    }
    if (Date.now() + POLL_MS > end) return problem
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Takes back the entity of a job that was cancelled after it was made. */
export async function removeEntity(ctx: ModelContext, run: Run): Promise<void> {
  if (run.payload.output_model === null) return
  const { namespace, name, version } = outputOf(run)
  const entity = await ctx.entities.models.find(namespace, `${name}@${version}`)
  if (entity?.custom_fields.job_id === run.id)
    await ctx.entities.models.delete(namespace, `${name}@${version}`)
}
