// SPDX-License-Identifier: Apache-2.0
import type { DeploymentStatus, ExternalEndpoint } from '@open-nemo/contract/deployment/schemas.ts'
import type { UpstreamEntry } from '../adapters/discovery.ts'
import type { Engine } from '../engine/types.ts'
import type { Served } from '../models/served-models.ts'
import { type Entity, referenceOf } from './store.ts'

/** A deployment with its config in full. */
export interface Deployed {
  deployment: Entity
  config: Entity | Record<string, unknown>
}

/** What an external server said when it was asked for its models. */
interface Probe {
  askedAt: number
  models: string[] | undefined
  reason: string | undefined
  running: Promise<void> | undefined
}

const PROBE_MS = 10_000
/** A server that did not answer is asked again after this long, one that did after ten times as long. */
const AGAIN_MS = 3000

export interface Serving {
  /** Whether the models of a deployment answer; asking starts what is not started yet. */
  status(deployed: Deployed): DeploymentStatus
  /** Replaces what is deployed: models of external servers, and the names of models here. */
  set(all: Deployed[]): void
  /** The model `ns/name@version` that a deployment serves as `ns/name`, as a NIM of its own would. */
  versionOf(name: string): string | undefined
  upstreams(): UpstreamEntry[]
  find(name: string): UpstreamEntry | undefined
}

/** Makes deployments answer: models of this service are started, external servers are asked for their models. */
export function createServing(
  known: (name: string) => Served | undefined,
  fetch: typeof globalThis.fetch,
): Serving {
  const probes = new Map<string, Probe>()
  let external: Deployed[] = []
  let versions = new Map<string, string>()

  const probe = (deployment: Entity, endpoint: ExternalEndpoint): Probe => {
    const key = `${deployment.id} ${deployment.updated_at} ${endpoint.host_url}`
    const found = probes.get(key) ?? { askedAt: 0, models: undefined, reason: undefined, running: undefined }
    probes.set(key, found)
    const wait = found.models ? AGAIN_MS * 10 : AGAIN_MS
    if (!found.running && Date.now() - found.askedAt > wait) {
      found.running = ask(endpoint, fetch)
        .then((models) => Object.assign(found, { models, reason: undefined }))
        .catch((err: unknown) => Object.assign(found, { models: undefined, reason: words(err) }))
        .then(() => {
          Object.assign(found, { askedAt: Date.now(), running: undefined })
        })
    }
    return found
  }

  const served = ({ deployment, config }: Deployed): UpstreamEntry[] => {
    const endpoint = config.external_endpoint as ExternalEndpoint | undefined
    if (!endpoint) return []
    const { models = [] } = probe(deployment, endpoint)
    const created = Math.floor(Date.parse(`${deployment.created_at}Z`) / 1000)
    const { api_key, host_url } = endpoint
    return enabled(endpoint, models).map((model_id) => ({
      id: model_id,
      created,
      endpoint: { url: apiUrl(host_url), model_id, api_key },
    }))
  }

  function status(deployed: Deployed): DeploymentStatus {
    const { deployment, config } = deployed
    const endpoint = config.external_endpoint as ExternalEndpoint | undefined
    if (endpoint) return externalStatus(probe(deployment, endpoint), endpoint, deployment)
    const name = modelName(config)
    if (name === undefined) {
      return {
        status: 'failed',
        description: 'its config has neither a model nor an external_endpoint: add one with PATCH',
      }
    }
    let model: Served | undefined
    try {
      model = known(name)
    } catch (err) {
      return { status: 'failed', description: words(err) }
    }
    if (!model) {
      const fix = 'add its weights with `nemoctl models add`, or give the config an external_endpoint'
      return { status: 'failed', description: `the model ${name} is not served here: ${fix}` }
    }
    return engineStatus(model, deployment)
  }

  return {
    status,
    set: (all) => {
      external = all.filter(({ config }) => config.external_endpoint)
      versions = new Map(all.sort(byChange).flatMap(({ config }) => versionIn(config)))
      const ids = new Set(external.map(({ deployment }) => deployment.id))
      for (const key of probes.keys()) if (!ids.has(key.split(' ')[0] ?? '')) probes.delete(key)
      for (const each of external) served(each)
    },
    versionOf: (name) => versions.get(name),
    upstreams: () => external.flatMap(served),
    find: (name) => external.flatMap(served).find(({ id }) => id === name),
  }
}

/** The model that a config names, or undefined. */
export function modelName(config: Record<string, unknown>): string | undefined {
  const { model } = config
  if (typeof model === 'string') return model
  const { namespace, name } = (model ?? {}) as { namespace?: string | null; name?: string | null }
  return name ? `${namespace || 'default'}/${name}` : undefined
}

/** Of two versions the one that was deployed last is served. */
const byChange = (a: Deployed, b: Deployed) => (a.deployment.updated_at < b.deployment.updated_at ? -1 : 1)

function versionIn(config: Record<string, unknown>): [string, string][] {
  const name = modelName(config) ?? ''
  const at = name.lastIndexOf('@')
  return at > 0 && !config.external_endpoint ? [[name.slice(0, at), name]] : []
}

const rolledOut = (deployment: Entity): DeploymentStatus => ({
  status: 'ready',
  description: `Deployment "modeldeployment-${referenceOf(deployment).replaceAll(/[^\w]+/g, '-')}" successfully rolled out.`,
})

function engineStatus(model: Served, deployment: Entity): DeploymentStatus {
  if (model.kind === 'upstream') return rolledOut(deployment)
  const state = engineOf(model).state()
  // Idle is a tuned model that has its file: the first request loads it.
  if (state.status === 'ready' || state.status === 'idle') return rolledOut(deployment)
  const description = 'message' in state ? state.message : state.status
  return { status: state.status === 'failed' ? 'failed' : 'pending', description }
}

function engineOf(model: Exclude<Served, { kind: 'upstream' }>): Engine {
  if (model.kind === 'local') return model.base.engine
  return model.kind === 'embedding' ? model.embedder.engine : model.ranker.engine
}

function externalStatus(probe: Probe, endpoint: ExternalEndpoint, deployment: Entity): DeploymentStatus {
  if (probe.reason !== undefined) {
    const description = `${endpoint.host_url} does not answer: ${probe.reason}. Check host_url and api_key`
    return { status: 'failed', description }
  }
  if (!probe.models) return { status: 'pending', description: `${endpoint.host_url} is asked for its models` }
  const missing = (endpoint.enabled_models ?? []).filter((model) => !probe.models?.includes(model))
  if (missing.length === 0) return rolledOut(deployment)
  return {
    status: 'failed',
    description: `${endpoint.host_url} has no model ${missing.join(', ')}: change enabled_models`,
  }
}

function enabled({ enabled_models }: ExternalEndpoint, models: string[]): string[] {
  return enabled_models?.length ? models.filter((model) => enabled_models.includes(model)) : models
}

/** Host URLs are written with and without `/v1`. */
function apiUrl(host: string): string {
  const base = host.replace(/\/+$/, '')
  return /\/v\d+$/.test(base) ? base : `${base}/v1`
}

async function ask(endpoint: ExternalEndpoint, fetch: typeof globalThis.fetch): Promise<string[]> {
  const { api_key, host_url } = endpoint
  const response = await fetch(`${apiUrl(host_url)}/models`, {
    headers: api_key ? { authorization: `Bearer ${api_key}` } : {},
    signal: AbortSignal.timeout(PROBE_MS),
  })
  if (!response.ok) throw new Error(`GET /models gave ${response.status}`)
  const { data } = (await response.json()) as { data?: { id?: unknown }[] }
  if (!Array.isArray(data)) throw new Error('GET /models gave no list')
  return data.flatMap(({ id }) => (typeof id === 'string' ? [id] : []))
}

function words(err: unknown): string {
  const inner = err instanceof Error && err.cause instanceof Error ? err.cause : err
  return inner instanceof Error ? inner.message || inner.name : String(inner)
}
