// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { ServedModelData } from '@open-nemo/contract/inference/schemas.ts'
import type { ServiceContext } from '@open-nemo/runtime'
import { settingFor } from '@open-nemo/runtime/catalogue/index.ts'
import type { AdapterEntry, Discovery, UpstreamEntry } from '../adapters/discovery.ts'
import type { WholeEntry } from '../adapters/whole-models.ts'
import type { InferenceConfig } from '../config.ts'
import type { Serving } from '../deployment/serving.ts'
import type { Embedder, Embedders } from '../embedding/embedders.ts'
import type { AdapterFile } from '../engine/types.ts'
import type { Ranker, Rankers } from '../ranking/rankers.ts'
import type { BaseModel, BaseModels } from './base-models.ts'

/** What answers under a model's name. */
export type Served =
  | { kind: 'local'; name: string; base: BaseModel; adapter?: AdapterFile }
  | { kind: 'embedding'; name: string; embedder: Embedder }
  | { kind: 'ranking'; name: string; ranker: Ranker }
  | { kind: 'upstream'; name: string; endpoint: UpstreamEntry['endpoint'] }

export interface ServedModels {
  /** Finds a model by name; one that is not known yet is looked for in the entity store before a 404. */
  resolve(name: string): Promise<Served>
  list(): ServedModelData[]
  /** Finds a model by name among those known already; throws for one that cannot be served. */
  known(name: string): Served | undefined
  /** The name of a model that embeds, where there is one. */
  embedding(): string | undefined
  /** Names of the models of the catalogue that rank. */
  rankers(): string[]
}

/** The models by all their names: catalogue, adapters, upstreams. */
export function createServedModels(args: {
  catalogue: ServiceContext['catalogue']
  config: InferenceConfig
  bases: BaseModels
  embedders: Embedders
  rankers: Rankers
  discovery: Discovery
  /** Models of deployed external servers, and the names without a version that deployments give to models. */
  deployed?: Pick<Serving, 'upstreams' | 'find' | 'versionOf'>
  /** When the service started, in seconds. */
  started: number
}): ServedModels {
  const { catalogue, bases, embedders, rankers, discovery, config, started } = args
  const deployed = () => args.deployed?.upstreams() ?? []
  const namesOf = (id: string) => {
    const plain = id.replace(/@[^@]*$/, '')
    const isServed =
      args.deployed?.versionOf(plain) === id && !catalogue.resolve(plain) && !discovery.find(plain)
    return isServed ? [id, plain] : [id]
  }

  const list = () => [
    ...catalogue.models.flatMap((model) =>
      [model.id, ...model.names].map((id) =>
        modelData({
          id,
          root: model.id,
          parent: null,
          created: started,
          length: maxLength(config, model),
          owner: model.kind === 'upstream' ? 'upstream' : 'open-nemo',
        }),
      ),
    ),
    ...discovery.adapters().flatMap(({ id, base, created, state }) =>
      state.is === 'ready'
        ? namesOf(id).map((name) =>
            modelData({
              id: name,
              root: base.model.id,
              parent: base.model.id,
              created,
              length: maxLength(config, base.model),
              owner: 'open-nemo',
            }),
          )
        : [],
    ),
    ...discovery.wholes().flatMap(({ id, parent, created, whole }) =>
      whole.is === 'ready'
        ? namesOf(id).map((name) =>
            modelData({
              id: name,
              root: id,
              parent: parent.id,
              created,
              length: maxLength(config, parent),
              owner: 'open-nemo',
            }),
          )
        : [],
    ),
    ...[...discovery.upstreams(), ...deployed()]
      .filter(({ id }) => !catalogue.resolve(id))
      .map(({ id, created, endpoint }) =>
        modelData({ id, root: endpoint.model_id, parent: null, created, length: null, owner: 'upstream' }),
      ),
  ]

  // A name without a namespace is one of "default".
  const entryOf = (name: string) =>
    discovery.find(name) ??
    args.deployed?.find(name) ??
    discovery.find(`default/${name}`) ??
    discovery.find(args.deployed?.versionOf(name) ?? '')
  const adapterOf = (name: string) => {
    const entry = catalogue.resolve(name) ? undefined : entryOf(name)
    return entry && 'state' in entry ? entry : undefined
  }

  function known(name: string): Served | undefined {
    const model = catalogue.resolve(name)
    if (model?.source.type === 'url') return { kind: 'upstream', name, endpoint: model.source.api_endpoint }
    if (model?.task === 'embedding') return { kind: 'embedding', name, embedder: embedders.of(model) }
    if (model?.task === 'ranking') return { kind: 'ranking', name, ranker: rankers.of(model) }
    if (model) {
      const base = bases.find(name)
      if (base) return { kind: 'local', name, base }
    }
    const found = entryOf(name)
    if (!found) return undefined
    if ('endpoint' in found) return { kind: 'upstream', name, endpoint: found.endpoint }
    return 'whole' in found ? fromWhole(name, found) : fromAdapter(name, found)
  }

  async function resolve(name: string): Promise<Served> {
    const pending = adapterOf(name)
    if (pending?.state.is === 'failed' && !pending.state.final) {
      await pending.base.engine.ready(config.NEMO_LOAD_WAIT * 1000).catch(() => undefined)
      await discovery.refresh()
    }
    const at = known(name)
    if (at) return at
    await discovery.refresh()
    const found = known(name)
    if (found) return found
    const models = list()
      .slice(0, 20)
      .map((m) => m.id)
      .join(', ')
    const setting = settingFor(name)
    const also = setting ? `; the platform answers to this name with ${setting}` : ''
    throw errors.MODEL_NOT_FOUND({
      model: name.slice(0, 200),
      models: (models || '(none yet)') + also,
      field: 'model',
    })
  }
  return {
    resolve,
    list,
    known,
    embedding: () => catalogue.models.find((m) => m.task === 'embedding')?.id,
    rankers: () => catalogue.models.filter((m) => m.task === 'ranking').map((m) => m.id),
  }
}

/** What a model here does, for the message to whoever asked it for something else. */
export function doing({ kind }: Exclude<Served, { kind: 'upstream' }>): string {
  return { local: 'generates text', embedding: 'embeds text', ranking: 'ranks passages' }[kind]
}

function fromAdapter(name: string, { base, state }: AdapterEntry): Served {
  if (state.is === 'failed' && !state.final) {
    throw errors.MODEL_LOADING({ model: name, progress: state.reason }).with({ 'retry-after': '2' })
  }
  if (state.is === 'failed') {
    throw errors.ADAPTER_NOT_SERVABLE({
      model: name,
      reason: state.reason,
      base: base.model.id,
      field: 'model',
    })
  }
  return { kind: 'local', name, base, adapter: state.artifact }
}

function fromWhole(name: string, { whole, parent }: WholeEntry): Served {
  if (whole.is === 'ready') return { ...whole.served, name }
  if (!whole.final) {
    throw errors.MODEL_LOADING({ model: name, progress: whole.reason }).with({ 'retry-after': '2' })
  }
  throw errors.ADAPTER_NOT_SERVABLE({ model: name, reason: whole.reason, base: parent.id, field: 'model' })
}

function maxLength(config: InferenceConfig, model: BaseModel['model']): number | null {
  if (model.kind === 'upstream') return model.spec.context_size || null
  if (model.task === 'embedding') return model.spec.context_size
  return Math.min(config.NIM_MAX_MODEL_LEN, model.spec.context_size)
}

function modelData(m: {
  id: string
  root: string
  parent: string | null
  created: number
  length: number | null
  owner: string
}): ServedModelData {
  return {
    id: m.id,
    object: 'model',
    created: m.created,
    owned_by: m.owner,
    permission: [
      {
        id: `modelperm-${m.id.replaceAll(/[^\w]/g, '-')}`,
        object: 'model_permission',
        created: m.created,
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: '*',
        group: null,
        is_blocking: false,
      },
    ],
    root: m.root,
    parent: m.parent,
    max_model_len: m.length,
  }
}
