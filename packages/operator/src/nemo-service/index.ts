// SPDX-License-Identifier: Apache-2.0
import { customizer } from '../customizer/kind.ts'
import { datastore } from '../datastore/kind.ts'
import { entitystore } from '../entitystore/kind.ts'
import { evaluator } from '../evaluator/kind.ts'
import type { Controller } from '../framework/types.ts'
import { guardrail } from '../guardrail/kind.ts'
import { nemoController } from './controller.ts'

export const customizerController: Controller = nemoController(customizer)
export const datastoreController: Controller = nemoController(datastore)
export const entitystoreController: Controller = nemoController(entitystore)
export const evaluatorController: Controller = nemoController(evaluator)
export const guardrailController: Controller = nemoController(guardrail)
