// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'
import type { TargetType } from '@open-nemo/contract/evaluation/schemas.ts'

/** The field that each type of target must have. */
const NEEDED: Record<TargetType, string> = {
  model: 'model',
  cached_outputs: 'cached_outputs',
  retriever: 'retriever',
  rag: 'rag',
  rows: 'rows',
  dataset: 'dataset',
}

/** That a target has the field that its type is about. Throws a 422 naming it. */
export function checkTargetFields(body: Record<string, unknown>): void {
  const field = NEEDED[body.type as TargetType]
  if (body[field] == null)
    throw invalid(['body', field], `Field required for a target of type ${body.type}`, 'missing')
}
