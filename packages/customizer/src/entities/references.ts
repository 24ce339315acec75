// SPDX-License-Identifier: Apache-2.0
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { Queryable } from '@open-nemo/runtime'
import { settingFor } from '@open-nemo/runtime/catalogue/index.ts'
import { type Entity, type EntityKind, type Key, readEntities, readEntity, referenceOf } from './store.ts'

export { referenceOf } from './store.ts'

/**
 * The entity that a reference names. `ns/name@version` and `name` (of namespace `default`) are looked up as they are;
 * a name without namespace or version is accepted when only one entity fits it.
 * Throws CONFIG_NOT_FOUND, TARGET_NOT_FOUND or, for several that fit, CONFIG_AMBIGUOUS.
 */
export async function findByReference(db: Queryable, kind: EntityKind, reference: string): Promise<Entity> {
  for (const key of exactKeys(reference)) {
    const found = await readEntity(db, kind, key)
    if (found) return found
  }
  const fitting = (await readEntities(db, kind)).filter((entity) => fits(entity, reference))
  if (fitting.length === 1 && fitting[0]) return fitting[0]
  if (fitting.length > 1) {
    throw errors.CONFIG_AMBIGUOUS({ name: reference, choices: fitting.map(referenceOf).join(', ') })
  }
  throw await notFound(db, kind, reference)
}

/** Where a reference may point exactly: namespace before the first `/`, or a whole name in `default`. */
export function exactKeys(reference: string): Key[] {
  const slash = reference.indexOf('/')
  const whole = { namespace: 'default', name: reference }
  if (slash <= 0) return [whole]
  return [{ namespace: reference.slice(0, slash), name: reference.slice(slash + 1) }, whole]
}

/** Whether an entity is what a reference without namespace, or without version, could mean. */
export function fits(entity: Key, reference: string): boolean {
  const full = referenceOf(entity)
  return [entity.name, full, entity.name.split('@')[0], full.split('@')[0]].includes(reference)
}

/** How many names an error offers. */
const OFFERED = 4

/** That nothing has this name, with the names that are nearest to it. */
export async function notFound(db: Queryable, kind: EntityKind, name: string): Promise<Error> {
  const nearness = ({ namespace, name: other }: Key) =>
    (fits({ namespace, name: other }, name.split('@')[0] ?? '') ? 2 : 0) +
    (name.startsWith(`${namespace}/`) ? 1 : 0)
  const entities = await readEntities(db, kind)
  const near = entities.sort((a, b) => nearness(b) - nearness(a)).slice(0, OFFERED)
  const setting = near.some((one) => nearness(one) > 1) ? undefined : settingFor(name)
  const names = near.map(referenceOf).join(', ') || '(none yet)'
  const known = setting ? `${names}, and with ${setting} one of this name` : names
  return kind === 'target'
    ? errors.TARGET_NOT_FOUND({ name, known })
    : errors.CONFIG_NOT_FOUND({ name, known })
}
