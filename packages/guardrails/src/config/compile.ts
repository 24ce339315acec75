// SPDX-License-Identifier: Apache-2.0
import { type ConfigData, configData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { CompiledConfig, EngineServices, Rail } from '../engine/compiled.ts'
import {
  type ColangSource,
  type CompileDialog,
  ConfigProblems,
  type DialogEngine,
  type Problem,
} from '../engine/types.ts'
import { type ModelEndpoint, resolveModel } from '../models/resolve.ts'
import { compilePrompt, type TaskPrompt } from '../prompts/tasks.ts'
import type { PromptFilters } from '../prompts/template.ts'
import { parseFlow, railKind, unknownRail } from '../rails/index.ts'
import { botMessages, ownMessages, userMessages } from './bot-messages.ts'
import type { Locate } from './files.ts'
import { createKnowledge } from './knowledge.ts'
import { compileRail, compileRails, type RailSources } from './rails.ts'

/** A configuration to compile, from files or from the API. */
export interface ConfigInput {
  data: unknown
  sources?: ColangSource[]
  documents?: { name: string; text: string }[]
  /** Where a text stands in the files; without it problems are placed in `data`. */
  locate?: Locate
}

export interface CompileOptions {
  services: EngineServices
  compileDialog: CompileDialog
  filters?: PromptFilters
}

/** Keys of configurations that mean something here; others are kept and have no effect. */
const REFUSED_KEYS: Record<string, string> = {
  import_paths: 'put the files of the imported configuration into this one',
  flows: 'compiled flows are not read; give Colang files, or colang_content',
}

/**
 * Checks a configuration and makes it ready. Throws ConfigProblems with everything in it that is wrong or not
 * supported, each with its file and line.
 */
export function compileConfig(input: ConfigInput, options: CompileOptions): CompiledConfig {
  const problems: Problem[] = []
  const locate: Locate = input.locate ?? (() => ({ file: 'data' }))
  const data = parseData(input.data, locate)
  const place = (text: string, key: string, message: string) =>
    problems.push({ ...locate(text, key), message })
  for (const [key, advice] of Object.entries(REFUSED_KEYS)) {
    const value = data[key]
    if (Array.isArray(value) && value.length) place(key, key, `${key} is not supported: ${advice}`)
  }
  const models = compileModels(data, options.services, place)
  const prompts = compilePrompts(data, options.filters ?? {}, place)
  const dialog = compileColang(input, data, options, problems)
  const sources = { data, models, prompts, dialog, services: options.services, place }
  const rails = compileRails(sources)
  checkActions(sources, problems)
  if (problems.length) throw new ConfigProblems(problems)
  return {
    data,
    models,
    prompts,
    rails,
    ...runningOptions(data, rails, dialog),
    dialog,
    railNamed: namedRails(sources),
    botMessage: botMessages(data, dialog),
    retrieve: createKnowledge(input.documents ?? []),
  }
}

const noTransforms = (rails: readonly Rail[]) => rails.every((rail) => !rail.transforms)

/** What may run beside what; rails that change the text need the text as the one before left it. */
function runningOptions(
  { rails: given }: ConfigData,
  rails: CompiledConfig['rails'],
  dialog: DialogEngine | undefined,
): Pick<CompiledConfig, 'parallel' | 'speculative' | 'streaming'> {
  const beside = (stage: 'input' | 'output' | 'tool_input' | 'tool_output') =>
    given?.[stage]?.parallel === true && noTransforms(rails[stage])
  const streaming = given?.output?.streaming ?? {}
  const chunkSize = streaming.chunk_size ?? 200
  return {
    parallel: {
      input: beside('input'),
      output: beside('output'),
      retrieval: false,
      tool_input: beside('tool_input'),
      tool_output: beside('tool_output'),
    },
    speculative:
      given?.input?.speculative_generation === true && noTransforms(rails.input) && !dialog?.hasDialog,
    streaming: {
      enabled: streaming.enabled ?? false,
      chunkSize,
      contextSize: Math.min(streaming.context_size ?? 50, chunkSize - 1),
      streamFirst: streaming.stream_first ?? true,
    },
  }
}

/** Rails that flows of the user run by name, made when they are first run. */
function namedRails(on: RailSources): CompiledConfig['railNamed'] {
  const made = new Map<string, Rail>()
  return (flow, stage) => {
    const key = `${stage} ${flow}`
    const known = made.get(key)
    if (known || !railKind(parseFlow(flow).name)) return known
    const rail = compileRail({ ...on, dialog: undefined }, stage, flow)
    made.set(key, rail)
    return rail
  }
}

function parseData(value: unknown, locate: Locate): ConfigData {
  const result = configData.safeParse(value ?? {})
  if (result.success) return result.data
  throw new ConfigProblems(
    result.error.issues.slice(0, 20).map((issue) => {
      const path = issue.path.map(String)
      const key = path.findLast((p) => !/^\d+$/.test(p)) ?? ''
      return { ...locate(key, path.at(-2)), message: `${path.join('.')}: ${issue.message}` }
    }),
  )
}

type Place = (text: string, key: string, message: string) => void

function compileModels(data: ConfigData, services: EngineServices, place: Place): Map<string, ModelEndpoint> {
  const models = new Map<string, ModelEndpoint>()
  for (const model of data.models) {
    try {
      // the engine embeds by the models of the platform; the toolkit's own embedders are not asked for
      if (model.type === 'embeddings') continue
      models.set(model.type, resolveModel(model, services.models))
    } catch (err) {
      place(model.engine, 'models', `model of type "${model.type}": ${words(err)}`)
    }
  }
  return models
}

function compilePrompts(data: ConfigData, filters: PromptFilters, place: Place): Map<string, TaskPrompt> {
  const prompts = new Map<string, TaskPrompt>()
  const main = data.models.find((m) => m.type === 'main')
  const name = main ? [main.engine, main.model ?? '', `${main.engine}/${main.model ?? ''}`] : []
  for (const prompt of data.prompts ?? []) {
    // A prompt for certain models goes before one for all, and does not count for others.
    if (prompt.models?.length && !prompt.models.some((m) => name.includes(m))) continue
    if (!prompt.models?.length && prompts.has(prompt.task)) continue
    try {
      prompts.set(prompt.task, compilePrompt(prompt, filters))
    } catch (err) {
      place(prompt.task, 'prompts', words(err))
    }
  }
  return prompts
}

function compileColang(
  input: ConfigInput,
  data: ConfigData,
  options: CompileOptions,
  problems: Problem[],
): DialogEngine | undefined {
  const inline = data.colang_content ? [{ file: 'colang_content', text: data.colang_content }] : []
  const sources = [...(input.sources ?? []), ...inline]
  const hasMessages = Object.keys(data.user_messages ?? {}).length > 0
  if (sources.every((s) => s.text.trim() === '') && !hasMessages) return undefined
  try {
    const isOne = !data.colang_version?.startsWith('2')
    return options.compileDialog(
      isOne ? [...sources, userMessages(data), ownMessages(data, sources)] : sources,
      data,
    )
  } catch (err) {
    if (!(err instanceof ConfigProblems)) throw err
    problems.push(...err.problems)
    return undefined
  }
}

/** Flows that nobody defines are refused, and actions that only the user's server could run when there is none. */
function checkActions(sources: RailSources, problems: Problem[]): void {
  const { dialog, data } = sources
  for (const { name, file, line } of dialog?.calls ?? []) {
    const kind = railKind(parseFlow(name).name)
    try {
      if (!kind?.stages[0]) throw new Error(unknownRail(name))
      compileRail({ ...sources, dialog: undefined }, kind.stages[0], name)
    } catch (err) {
      problems.push({ file, line, message: words(err) })
    }
  }
  if (!dialog || data.actions_server_url) return
  for (const { name, file, line } of dialog.actions) {
    if (BUILT_IN_ACTIONS.has(name)) continue
    problems.push({
      file,
      line,
      message: `the action "${name}" is not known; set actions_server_url to a server of it`,
    })
  }
}

/** Actions that flows may execute without a server. */
export const BUILT_IN_ACTIONS: ReadonlySet<string> = new Set([
  'self_check_input',
  'self_check_output',
  'self_check_facts',
  'self_check_hallucination',
  'llama_guard_check_input',
  'llama_guard_check_output',
  'content_safety_check_input',
  'content_safety_check_output',
  'topic_safety_check_input',
  'jailbreak_detection_heuristics',
  'jailbreak_detection_model',
  'injection_detection',
  'detect_sensitive_data',
  'mask_sensitive_data',
  'detect_regex_pattern',
  'retrieve_relevant_chunks',
  'generate_user_intent',
  'generate_next_step',
  'generate_bot_message',
  'generate_value',
  'create_event',
])

const words = (err: unknown) => (err instanceof Error ? err.message : String(err))
