// SPDX-License-Identifier: Apache-2.0
import { compileDialog } from './colang/index.ts'
import { type ConfigInput, compileConfig as compile } from './config/compile.ts'
import { type ConfigFiles, readConfigFiles } from './config/files.ts'
import type { CompiledConfig, EngineServices } from './engine/compiled.ts'
import { createRegexGuard } from './regex/guard.ts'

export type { ConfigInput } from './config/compile.ts'
export { type ConfigFiles, readConfigFiles } from './config/files.ts'
export { mergeData } from './config/merge.ts'
export type { CompiledConfig, EngineServices, NerEntity, Turn } from './engine/compiled.ts'
export { checkTurn, respond, type TurnOutcome, type TurnRequest } from './engine/engine.ts'
export { type StreamEvent, type StreamedTurn, startStream } from './engine/stream.ts'
export { ConfigProblems, type Message, type Problem, type RailResult } from './engine/types.ts'
export { ModelError } from './models/errors.ts'
export { RAIL_KINDS } from './rails/index.ts'
export { createRegexGuard } from './regex/guard.ts'

const RAIL_TIMEOUT_MS = 30_000

/**
 * What the engine needs, from as little as the URL of an OpenAI-compatible server. Close `regex` of the result
 * when the program is done with it.
 */
export function createServices(
  options: Partial<EngineServices> & {
    nimUrl: string
    nimKey?: string
    env?: Record<string, string | undefined>
  },
): EngineServices {
  const { nimUrl, nimKey, env = {}, ...services } = options
  return {
    fetch: globalThis.fetch,
    models: { nimUrl, nimKey, env },
    regex: createRegexGuard(),
    railTimeoutMs: RAIL_TIMEOUT_MS,
    ...services,
  }
}

/** Compiles a configuration given as data. Throws ConfigProblems. */
export function compileConfig(input: ConfigInput, services: EngineServices): CompiledConfig {
  return compile(input, { services, compileDialog })
}

/** Compiles a configuration given as its files. Throws ConfigProblems naming file and line. */
export function compileFiles(files: ConfigFiles, services: EngineServices): CompiledConfig {
  return compileConfig(readConfigFiles(files), services)
}
