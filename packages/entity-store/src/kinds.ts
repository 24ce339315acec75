// SPDX-License-Identifier: Apache-2.0

import type { EntityKind } from '@open-nemo/contract/entity-store/schemas.ts'
import * as schemas from '@open-nemo/contract/entity-store/schemas.ts'
import type { z } from 'zod'

/** What one kind of entity is to the routes and the SQL; all four share the rest. */
export interface Kind {
  kind: EntityKind
  table: string
  path: string
  create: z.ZodType<Record<string, unknown>>
  update: z.ZodType<Record<string, unknown>>
  entity: z.ZodType
  /** Fields that every answer has, with what they are when nobody gave them. */
  defaults: () => Record<string, unknown>
  sortable: readonly string[]
}

const common = () => ({ description: null, project: null, custom_fields: {} })

export const KINDS: Record<EntityKind, Kind> = {
  namespace: {
    kind: 'namespace',
    table: 'entity_store.namespaces',
    path: '/v1/namespaces',
    create: schemas.namespaceCreate,
    update: schemas.namespaceUpdate,
    entity: schemas.namespaceEntity,
    defaults: () => ({ ...common(), ownership: null }),
    sortable: ['created_at', 'updated_at', 'name', 'id'],
  },
  project: {
    kind: 'project',
    table: 'entity_store.projects',
    path: '/v1/projects',
    create: schemas.projectCreate,
    update: schemas.projectUpdate,
    entity: schemas.projectEntity,
    defaults: () => common(),
    sortable: ['created_at', 'updated_at', 'name'],
  },
  dataset: {
    kind: 'dataset',
    table: 'entity_store.datasets',
    path: '/v1/datasets',
    create: schemas.datasetCreate,
    update: schemas.datasetUpdate,
    entity: schemas.datasetEntity,
    defaults: () => ({ ...common(), format: null, split: null, limit: null, hf_endpoint: null }),
    sortable: ['created_at', 'updated_at', 'name'],
  },
  model: {
    kind: 'model',
    table: 'entity_store.models',
    path: '/v1/models',
    create: schemas.modelCreate,
    update: schemas.modelUpdate,
    entity: schemas.modelEntity,
    defaults: () => ({
      ...common(),
      schema_version: '1.0',
      api_endpoint: null,
      artifact: null,
      base_model: null,
      guardrails: null,
      model_providers: null,
      ownership: null,
      peft: null,
      prompt: null,
      spec: null,
    }),
    sortable: ['created_at', 'updated_at', 'name'],
  },
}
