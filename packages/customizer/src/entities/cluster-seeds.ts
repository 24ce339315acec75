// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { configCreate, targetCreate } from '@open-nemo/contract/customization/schemas.ts'
import type { Logger, ServiceContext } from '@open-nemo/runtime'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Seed } from './seeds.ts'
import { isTunable } from './targets.ts'

type Catalogue = ServiceContext['catalogue']

const entries = z.record(z.string(), z.looseObject({}).nullish()).nullish()
/** The part of the operator's file that lists what an administrator offers for tuning. */
const clusterFile = z.looseObject({
  customizationTargets: z
    .looseObject({ overrideExistingTargets: z.boolean().nullish(), targets: entries })
    .nullish(),
  customizationConfigTemplates: z
    .looseObject({ overrideExistingTemplates: z.boolean().nullish(), templates: entries })
    .nullish(),
})

/**
 * Targets and configs of the file that the operator writes (customizationTargets, customizationConfigTemplates).
 * One whose weights are not here is listed as failed and says why; one that is no target or config is logged and
 * left out.
 */
export async function clusterSeeds(
  path: string | undefined,
  catalogue: Catalogue,
  log: Pick<Logger, 'warn'>,
): Promise<Seed[]> {
  const file = await readClusterSeeds(path, log)
  const { customizationTargets: targets, customizationConfigTemplates: templates } = file
  const found: Seed[] = []
  for (const [key, given] of Object.entries(targets?.targets ?? {})) {
    const seed = named(key, given, targetCreate, log)
    if (seed)
      found.push({
        kind: 'target',
        body: targetBody(seed, catalogue),
        override: targets?.overrideExistingTargets === true,
      })
  }
  for (const [key, given] of Object.entries(templates?.templates ?? {})) {
    const seed = named(key, given, configCreate, log)
    if (seed)
      found.push({ kind: 'config', body: seed, override: templates?.overrideExistingTemplates === true })
  }
  return found
}

async function readClusterSeeds(
  path: string | undefined,
  log: Pick<Logger, 'warn'>,
): Promise<z.infer<typeof clusterFile>> {
  if (!path) return {}
  const text = await readFile(path, 'utf8').catch((err) => {
    if (err.code === 'ENOENT') return ''
    throw err
  })
  const result = clusterFile.safeParse(parse(text) ?? {})
  if (result.success) return result.data
  log.warn(
    { path, detail: z.prettifyError(result.error) },
    'the targets and configs of the file are not used',
  )
  return {}
}

type Named = Seed['body']

/** What an entry says, with the name of its key, `namespace/name@version`, where it has none of its own. */
function named(
  key: string,
  given: Record<string, unknown> | null | undefined,
  schema: z.ZodType,
  log: Pick<Logger, 'warn'>,
): Named | undefined {
  const slash = key.indexOf('/')
  const fromKey = { namespace: slash > 0 ? key.slice(0, slash) : 'default', name: key.slice(slash + 1) }
  const body = { ...fromKey, ...withoutEmpty(given ?? {}) }
  const result = schema.safeParse(body)
  if (result.success) return body as Named
  log.warn({ entry: key, detail: z.prettifyError(result.error) }, 'an entry of the file is not used')
  return undefined
}

const withoutEmpty = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ''))

/** The target, with the weights of the catalogue that it names, or with the reason why it cannot be tuned. */
function targetBody(given: Named, catalogue: Catalogue): Named {
  const { enabled = true, base_model, model_uri: uri, model_path, ...rest } = given
  const name = `${given.namespace}/${given.name}`.split('@')[0] ?? ''
  const hub = /^hf:\/\/([^@]+)/.exec(String(uri ?? ''))?.[1]
  const wanted = [base_model, hub, name].filter((each): each is string => typeof each === 'string')
  const found = wanted.find((each) => {
    const model = catalogue.resolve(each)
    return model !== undefined && isTunable(model)
  })
  const body = { ...rest, enabled, ...(uri ? { model_uri: uri } : {}) }
  if (found) return { ...body, base_model: found, model_path: catalogue.resolve(found)?.id ?? found }
  const tunable = catalogue.models.filter(isTunable).map((m) => m.id)
  const where = String(uri ?? '').startsWith('ngc://')
    ? 'its weights are in NGC, from which only an image of NVIDIA fetches them'
    : 'its weights are not here'
  return {
    ...body,
    base_model: String(base_model ?? name),
    model_path: String(model_path ?? uri ?? name),
    status: 'failed',
    status_message: `${where}: add the model to models.json of the customizer, or set base_model to one of ${tunable.join(', ')}`,
  }
}
