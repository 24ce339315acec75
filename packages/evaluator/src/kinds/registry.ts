// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { agenticKind } from './agentic/kind.ts'
import { customKind } from './custom/kind.ts'
import { lmEvalKind } from './lm-eval/kind.ts'
import { ragKind } from './rag/kind.ts'
import { REFUSED } from './refused.ts'
import { retrieverKind } from './retriever/kind.ts'
import { similarityKind } from './similarity/kind.ts'
import type { EvaluationKind } from './types.ts'

/** Every kind of evaluation that runs here, in the order in which they are asked. */
export const KINDS: readonly EvaluationKind[] = [
  customKind,
  similarityKind,
  retrieverKind,
  ragKind,
  agenticKind,
  lmEvalKind,
]

/** The kind that handles a `config.type`. Throws UNSUPPORTED_EVALUATION with the reason when none does. */
export function kindOf(type: string, kinds: readonly EvaluationKind[] = KINDS): EvaluationKind {
  const kind = kinds.find((one) => one.handles(type))
  if (kind) return kind
  const reason = REFUSED.find((one) => one.pattern.test(type))?.reason ?? 'it is not a type that is known'
  const known = kinds.flatMap((one) => one.types).join(', ')
  throw errors.UNSUPPORTED_EVALUATION({ type, reason, known, field: 'type' })
}
