// SPDX-License-Identifier: Apache-2.0
import type { Entity } from '../entities/store.ts'

type Tree = Record<string, unknown>

const ENTITY = {
  schema_version: '1.0',
  id: null,
  description: null,
  type_prefix: null,
  namespace: 'default',
  project: null,
  created_at: null,
  updated_at: null,
  custom_fields: {},
  ownership: null,
  name: null,
}
const VERSION = { version_id: 'main', version_tags: [] }
const PARAMS = {
  parallelism: null,
  request_timeout: null,
  max_retries: null,
  limit_samples: null,
  max_tokens: null,
  temperature: null,
  top_p: null,
  stop: null,
  extra: null,
}

/** A target with every field, those without a value as null: so it stands in a job. */
export function expandTarget(target: Entity): Tree {
  const stamps = pick(target, ['created_at', 'updated_at'])
  return {
    ...ENTITY,
    type_prefix: 'eval-target',
    type: null,
    cached_outputs: null,
    rows: null,
    ...target,
    model: model(target.model, stamps),
    retriever: retriever(target.retriever, stamps),
    rag: rag(target.rag, stamps),
    dataset: dataset(target.dataset, stamps),
  }
}

/** A config with every field, those without a value as null. */
export function expandConfig(config: Entity): Tree {
  const stamps = pick(config, ['created_at', 'updated_at'])
  const params = tree(config.params)
  const tasks = tree(config.tasks)
  return {
    ...ENTITY,
    type_prefix: 'eval-config',
    type: null,
    groups: null,
    ...config,
    params: params ? { ...PARAMS, ...params } : null,
    tasks: tasks ? mapValues(tasks, (task) => expandTask(task, stamps)) : null,
  }
}

function expandTask(given: unknown, stamps: Tree): unknown {
  const task = tree(given)
  if (!task) return given
  const metrics = tree(task.metrics)
  return {
    type: null,
    params: null,
    ...task,
    metrics: metrics ? mapValues(metrics, (metric) => ({ params: null, ...tree(metric) })) : null,
    dataset: dataset(task.dataset, stamps),
  }
}

function model(given: unknown, stamps: Tree): unknown {
  const one = tree(given)
  if (!one) return given ?? null
  const endpoint = tree(one.api_endpoint)
  return {
    ...ENTITY,
    type_prefix: 'model',
    ...stamps,
    ...VERSION,
    spec: null,
    artifact: null,
    base_model: null,
    peft: null,
    prompt: null,
    guardrails: null,
    ...one,
    api_endpoint: endpoint ? { api_key: null, format: 'nim', ...endpoint } : null,
  }
}

function dataset(given: unknown, stamps: Tree): unknown {
  const one = tree(given)
  if (!one) return given ?? null
  return {
    ...ENTITY,
    ...stamps,
    ...VERSION,
    format: null,
    hf_endpoint: null,
    split: null,
    limit: null,
    ...one,
  }
}

function retriever(given: unknown, stamps: Tree): unknown {
  const one = tree(given)
  if (!one) return null
  const pipeline = tree(one.pipeline)
  const models = pipeline && {
    top_k: null,
    ...pipeline,
    query_embedding_model: model(pipeline.query_embedding_model, stamps),
    index_embedding_model: model(pipeline.index_embedding_model, stamps),
    reranker_model: model(pipeline.reranker_model, stamps),
  }
  return { cached_outputs: null, ...one, pipeline: models ?? null, dataset: dataset(one.dataset, stamps) }
}

function rag(given: unknown, stamps: Tree): unknown {
  const one = tree(given)
  if (!one) return null
  const pipeline = tree(one.pipeline)
  const parts = pipeline && {
    context_ordering: null,
    ...pipeline,
    retriever: retriever(pipeline.retriever, stamps),
    model: model(pipeline.model, stamps),
  }
  return { cached_outputs: null, ...one, pipeline: parts ?? null, dataset: dataset(one.dataset, stamps) }
}

function tree(value: unknown): Tree | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Tree) : undefined
}

function mapValues(values: Tree, change: (value: unknown) => unknown): Tree {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value)]))
}

function pick(source: Tree, fields: string[]): Tree {
  return Object.fromEntries(fields.map((field) => [field, source[field]]))
}
