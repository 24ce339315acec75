// SPDX-License-Identifier: Apache-2.0
import { configSpec, targetSpec } from '@open-nemo/contract/evaluation/schemas.ts'
import { type Database, validate } from '@open-nemo/runtime'
import { checkTargetFields } from '../entities/check.ts'
import { findByReference, notFound } from '../entities/routes.ts'
import { restoreSecrets, type Secrets, secretsUnder } from '../entities/secrets.ts'
import { type EntityKind, newEntity, readEntity, type Stored } from '../entities/store.ts'
import type { EvaluationRequest } from '../kinds/types.ts'

/** What is to be evaluated: as stored and answered (masked), and its secrets by pointer from `/target` or `/config`. */
export interface ResolvedSpec {
  target: Stored['doc']
  config: Stored['doc']
  secrets: Secrets
}

type Given = string | Record<string, unknown>

/** Finds target and config by reference, or takes them as written out. Throws TARGET_NOT_FOUND, CONFIG_NOT_FOUND. */
export async function resolveSpec(
  db: Database,
  given: { target: Given; config: Given },
): Promise<ResolvedSpec> {
  const target = await resolve(db, 'target', given.target)
  const config = await resolve(db, 'config', given.config)
  return {
    target: target.doc,
    config: config.doc,
    secrets: { ...secretsUnder('target', target.secrets), ...secretsUnder('config', config.secrets) },
  }
}

/** The fields that say what a target or config is about, beside its type. */
const CONTENT: Record<EntityKind, string[]> = {
  target: ['cached_outputs', 'dataset', 'model', 'rag', 'retriever', 'rows'],
  config: ['groups', 'params', 'tasks'],
}

async function resolve(db: Database, kind: EntityKind, given: Given) {
  if (typeof given === 'string') return await findByReference(db, kind, given)
  const { name, namespace, type } = given as { name?: string; namespace?: string; type?: string }
  if (name && CONTENT[kind].every((field) => given[field] == null)) {
    // Only its name: the stored one is meant, as in NVIDIA's examples. Benchmarks need no more than a type, though.
    const key = { namespace: namespace || 'default', name }
    const found = await readEntity(db, kind, key)
    if (found) return found
    if (kind === 'target' || !type) throw notFound(kind, `${key.namespace}/${name}`)
  }
  if (kind === 'target') checkTargetFields(given)
  return newEntity(kind, given)
}

/** The request with its secrets in clear. */
export function requestOf(spec: ResolvedSpec): EvaluationRequest {
  const { target, config } = restoreSecrets({ target: spec.target, config: spec.config }, spec.secrets)
  return { target: validate(targetSpec, target), config: validate(configSpec, config) }
}
