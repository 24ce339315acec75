// SPDX-License-Identifier: Apache-2.0
import type { ConfigData, JailbreakConfig } from '@open-nemo/contract/guardrails/config-data.ts'
import type { RailCall } from '../engine/compiled.ts'
import { endAction } from '../engine/recorder.ts'
import type { RailResult } from '../engine/types.ts'
import { operationUrl, postJson } from '../models/client.ts'
import { resolveModel } from '../models/resolve.ts'
import { actionValue, JudgeError } from './judge.ts'
import { perplexityOf } from './perplexity.ts'
import { INCOMING, type Preparation, type RailKind } from './types.ts'

const LENGTH_PER_PERPLEXITY = 89.79
const PREFIX_SUFFIX_PERPLEXITY = 1845.65
/** Words at each end that a hidden suffix or prefix would be in. */
const EDGE_WORDS = 20

const options = (data: ConfigData): JailbreakConfig => data.rails?.config?.jailbreak_detection ?? {}

/** Decides by how likely a language model finds the text: long and smooth, or with gibberish at an end. */
const heuristics: RailKind = {
  name: 'jailbreak detection heuristics',
  stages: INCOMING,
  action: 'jailbreak_detection_heuristics',
  usesModel: true,
  prepare({ data }) {
    const config = options(data)
    const lengthLimit = config.length_per_perplexity_threshold ?? LENGTH_PER_PERPLEXITY
    const edgeLimit = config.prefix_suffix_perplexity_threshold ?? PREFIX_SUFFIX_PERPLEXITY
    return async (call) => {
      const action = call.log.action('jailbreak_detection_heuristics')
      const { server_endpoint: server } = config
      const scores = server
        ? await askServer(call, server, {
            prompt: call.text,
            lp_threshold: lengthLimit,
            ps_ppl_threshold: edgeLimit,
          })
        : await measure(call, config, { lengthLimit, edgeLimit })
      const result: RailResult = { decision: scores.jailbreak ? 'block' : 'allow', metadata: scores }
      endAction(action, actionValue(result))
      return result
    }
  },
}

async function measure(
  call: RailCall,
  config: JailbreakConfig,
  limits: { lengthLimit: number; edgeLimit: number },
): Promise<{ jailbreak: boolean; [score: string]: unknown }> {
  const { text } = call
  const whole = await perplexityOf(call, config, text)
  const lengthPerPerplexity = text.length / whole
  if (lengthPerPerplexity >= limits.lengthLimit)
    return { jailbreak: true, reason: 'length per perplexity', length_per_perplexity: lengthPerPerplexity }
  const words = text.trim().split(/\s+/)
  // A short text has no prefix or suffix of its own.
  if (words.length < EDGE_WORDS) return { jailbreak: false, length_per_perplexity: lengthPerPerplexity }
  const prefix = await perplexityOf(call, config, words.slice(0, EDGE_WORDS).join(' '))
  const suffix = await perplexityOf(call, config, words.slice(-EDGE_WORDS).join(' '))
  const jailbreak = prefix >= limits.edgeLimit || suffix >= limits.edgeLimit
  const scores = {
    length_per_perplexity: lengthPerPerplexity,
    prefix_perplexity: prefix,
    suffix_perplexity: suffix,
  }
  return { jailbreak, ...(jailbreak ? { reason: 'prefix or suffix perplexity' } : {}), ...scores }
}

/** Asks a classifier: the NemoGuard jailbreak NIM, or a server with the same answer. */
const model: RailKind = {
  name: 'jailbreak detection model',
  stages: INCOMING,
  action: 'jailbreak_detection_model',
  usesModel: true,
  prepare(on) {
    const { url, key, body } = classifier(on)
    return async (call) => {
      const action = call.log.action('jailbreak_detection_model')
      const said = await askServer(call, url, body(call.text), key)
      const result: RailResult = { decision: said.jailbreak ? 'block' : 'allow', metadata: said }
      endAction(action, actionValue(result))
      return result
    }
  },
}

interface Classifier {
  url: string
  key: string | undefined
  body: (text: string) => Record<string, unknown>
}

function classifier({ data, services }: Preparation): Classifier {
  const config = options(data)
  const { nim_url: host, nim_port: port, server_endpoint: server } = config
  const base = config.nim_base_url || (host ? `http://${host}:${port ?? 8000}/v1` : undefined)
  if (base) {
    const { key } = resolveModel(
      {
        type: 'jailbreak_detection',
        engine: 'nim',
        api_key_env_var: config.api_key ? undefined : config.api_key_env_var,
        parameters: { base_url: base, ...(config.api_key ? { api_key: config.api_key } : {}) },
      },
      services.models,
    )
    const path = `/${(config.nim_server_endpoint || 'classify').replace(/^\/+/, '')}`
    return { url: operationUrl(base.replace(/\/+$/, ''), path), key, body: (input) => ({ input }) }
  }
  if (server) return { url: server, key: undefined, body: (prompt) => ({ prompt }) }
  throw new Error('the rail needs rails.config.jailbreak_detection.nim_base_url or server_endpoint')
}

async function askServer(
  call: RailCall,
  url: string,
  body: Record<string, unknown>,
  key?: string,
): Promise<{ jailbreak: boolean; [field: string]: unknown }> {
  const { fetch } = call.turn.services
  const response = await postJson({
    url,
    model: 'jailbreak detection',
    body,
    key,
    signal: call.signal,
    fetch,
  })
  const said = (await response.json().catch(() => undefined)) as Record<string, unknown> | undefined
  if (typeof said?.jailbreak !== 'boolean')
    throw new JudgeError('its server answers without "jailbreak": true or false')
  return said as { jailbreak: boolean }
}

export const jailbreakRails: RailKind[] = [heuristics, model]
