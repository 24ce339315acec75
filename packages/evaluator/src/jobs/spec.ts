// SPDX-License-Identifier: Apache-2.0
import { configSpec, targetSpec } from '@open-nemo/contract/evaluation/schemas.ts'
import { type Database, validate } from '@open-nemo/runtime'
import { checkTargetFields } from '../entities/check.ts'
import { findByReference } from '../entities/routes.ts'
import { restoreSecrets, type Secrets, secretsUnder } from '../entities/secrets.ts'
import { newEntity, type Stored } from '../entities/store.ts'
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
  if (typeof given.target !== 'string') checkTargetFields(given.target)
  const target =
    typeof given.target === 'string'
      ? await findByReference(db, 'target', given.target)
      : newEntity('target', given.target)
  const config =
    typeof given.config === 'string'
      ? await findByReference(db, 'config', given.config)
      : newEntity('config', given.config)
  return {
    target: target.doc,
    config: config.doc,
    secrets: { ...secretsUnder('target', target.secrets), ...secretsUnder('config', config.secrets) },
  }
}

/** The request with its secrets in clear. */
export function requestOf(spec: ResolvedSpec): EvaluationRequest {
  const { target, config } = restoreSecrets({ target: spec.target, config: spec.config }, spec.secrets)
  return { target: validate(targetSpec, target), config: validate(configSpec, config) }
}
