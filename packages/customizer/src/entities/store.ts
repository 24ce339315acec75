// SPDX-License-Identifier: Apache-2.0
import { documentStore } from '@open-nemo/runtime/documents/index.ts'

export type { Entity, Key } from '@open-nemo/runtime/documents/index.ts'
export { referenceOf } from '@open-nemo/runtime/documents/index.ts'

export type EntityKind = 'target' | 'config'

/** The stored targets and configs. */
export const { newEntity, insertEntity, readEntity, readEntities, updateEntity, writeEntity, deleteEntity } =
  documentStore<EntityKind>('customizer', {
    target: 'customization_target',
    config: 'customization_config',
  })
