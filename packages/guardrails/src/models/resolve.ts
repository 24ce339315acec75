// SPDX-License-Identifier: Apache-2.0
import type { GuardrailModelData } from '@open-nemo/contract/guardrails/config-data.ts'

/** Where a model answers, and as what. */
export interface ModelEndpoint {
  /** Type in the configuration, `main` for the one that answers. */
  type: string
  /** Base URL up to and with `/v1`. */
  url: string
  /** Name there; undefined takes the request's model. */
  name: string | undefined
  engine: string
  mode: 'chat' | 'text'
  /** The key of the configuration's own; a request's key goes before it only for the main model. */
  key: string | undefined
  /** Whether it is the platform's NIM, to which the request's key always goes. */
  isNim: boolean
  /** Sampling parameters of the configuration, below those of the request. */
  parameters: Record<string, unknown>
}

export interface ModelSettings {
  /** Base URL of the NIM, with `/v1`. */
  nimUrl: string
  nimKey?: string | undefined
  env: Record<string, string | undefined>
}

/** URLs of engines that are used without one. Any other engine speaks the OpenAI API at its base_url. */
const KNOWN: Record<string, string> = {
  openai: 'https://api.openai.com/v1',
  nvidia_ai_endpoints: 'https://integrate.api.nvidia.com/v1',
}
const NIM = ['nim', 'nemo']
const URL_KEYS = ['base_url', 'openai_api_base', 'api_base', 'endpoint_url', 'url']
const NOT_SAMPLING = new Set([
  ...URL_KEYS,
  'api_key',
  'openai_api_key',
  'nvidia_api_key',
  'model',
  'model_name',
  'streaming',
  'timeout',
  'max_retries',
  'default_headers',
  'http_client',
])
/** Only variables named so are read, so that a configuration cannot send out other secrets of the process. */
const KEY_VARIABLE = /^[A-Za-z0-9_]*API_KEY$/
const DEFAULT_KEYS: Record<string, string> = {
  openai: 'OPENAI_API_KEY',
  nvidia_ai_endpoints: 'NVIDIA_API_KEY',
}

/** Finds the endpoint of a configured model. Throws naming what to change. */
export function resolveModel(model: GuardrailModelData, settings: ModelSettings): ModelEndpoint {
  const parameters = model.parameters ?? {}
  const given = URL_KEYS.map((key) => parameters[key]).find(
    (v): v is string => typeof v === 'string' && v !== '',
  )
  const isNim = !given && NIM.includes(model.engine)
  const url = given ?? (isNim ? settings.nimUrl : KNOWN[model.engine])
  if (!url)
    throw new Error(
      `engine "${model.engine}" has no base_url: give parameters.base_url of its OpenAI API, or use engine nim or openai`,
    )
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new Error(`base_url "${url}" is not an http or https URL`)
  const name = model.model ?? textOf(parameters.model) ?? textOf(parameters.model_name)
  return {
    type: model.type,
    url: url.replace(/\/+$/, ''),
    name: name || undefined,
    engine: model.engine,
    mode: model.mode ?? 'chat',
    key: keyOf(model, settings, isNim),
    isNim,
    parameters: Object.fromEntries(Object.entries(parameters).filter(([key]) => !NOT_SAMPLING.has(key))),
  }
}

/** The endpoint of a request's model where the configuration has no main model. */
export function nimEndpoint(settings: ModelSettings): ModelEndpoint {
  return {
    type: 'main',
    url: settings.nimUrl,
    name: undefined,
    engine: 'nim',
    mode: 'chat',
    key: settings.nimKey,
    isNim: true,
    parameters: {},
  }
}

function keyOf(model: GuardrailModelData, settings: ModelSettings, isNim: boolean): string | undefined {
  const { parameters = {}, api_key_env_var: variable } = model
  const direct = textOf(parameters?.api_key) ?? textOf(parameters?.openai_api_key)
  if (direct) return direct
  if (variable) {
    if (!KEY_VARIABLE.test(variable) || variable === 'NIM_ENDPOINT_API_KEY')
      throw new Error(`api_key_env_var "${variable}" must be a variable whose name ends in API_KEY`)
    return settings.env[variable] || undefined
  }
  if (isNim) return settings.nimKey
  const usual = URL_KEYS.some((key) => parameters?.[key]) ? undefined : DEFAULT_KEYS[model.engine]
  return usual ? settings.env[usual] || undefined : undefined
}

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)
