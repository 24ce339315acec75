// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { checkDataset } from './data/rows.ts'
import type { CheckContext } from './kinds/types.ts'
import { resolveModel } from './model/resolve.ts'
import type { RunServices } from './runner/context.ts'

/** What kinds check with when a job is created. */
export function createCheckContext(services: RunServices): CheckContext {
  const { settings, templates, models, data } = services
  async function template(value: unknown, where: string): Promise<void> {
    if (typeof value === 'string') {
      await templates.check(value).catch((err: Error) => {
        throw errors.CONFIG_INVALID({ where, reason: err.message, field: where }, { cause: err })
      })
    } else if (Array.isArray(value)) {
      for (const [i, one] of value.entries()) await template(one, `${where}.${i}`)
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, one] of Object.entries(value)) await template(one, `${where}.${key}`)
    }
  }
  return {
    settings,
    isLive: false,
    template,
    async pattern(pattern, where) {
      await templates.match(pattern, '').catch((err: Error) => {
        throw errors.CONFIG_INVALID({ where, reason: err.message, field: where }, { cause: err })
      })
    },
    async model(model) {
      await resolveModel(models, model)
    },
    async dataset(dataset) {
      await checkDataset(data, dataset)
    },
  }
}
