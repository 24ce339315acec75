// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { ServiceName } from '@open-nemo/contract'
import { runCommand } from '../../tools/test-tiers/command.ts'
import { ensureEnvironment } from '../conformance/environments.ts'
import type { TestPlatform } from '../conformance/platform.ts'

/** How much is tried: examples for an operation, and seconds for a document at most. */
export interface Effort {
  phases: string
  examples: number
  seconds: number
}

/** Seconds: what `npm test` has time for. */
export const FAST: Effort = { phases: 'fuzzing', examples: 1, seconds: 8 }
/** All edge cases that a schema has, then fuzzing: with NEMO_SLOW=1, in less than 3 minutes on two cores. */
export const THOROUGH: Effort = { phases: 'coverage,fuzzing', examples: 5, seconds: 18 }
/** Minutes, by hand. */
export const SLOW: Effort = { phases: 'coverage,fuzzing', examples: 20, seconds: 90 }

/** Which port answers the document of a service. */
export const DOCUMENTS: Record<ServiceName, 'NEMO_URL' | 'DATA_STORE_URL' | 'NIM_URL'> = {
  'entity-store': 'NEMO_URL',
  'data-store': 'DATA_STORE_URL',
  customizer: 'NEMO_URL',
  inference: 'NIM_URL',
  evaluator: 'NEMO_URL',
  guardrails: 'NEMO_URL',
}

/** Operations that schemathesis cannot try, with the reason; one that it did try does not belong here. */
export const UNREACHED: Partial<Record<ServiceName, Record<string, string>>> = {}

const CHECKS = 'not_a_server_error,content_type_conformance,response_schema_conformance'
/** Server errors that are said on purpose, each with its code. 500 is what clients of deployments look for. */
const ON_PURPOSE = [501, 502, 503, 504, 507]
const WIRE_500 = 'DEPLOYMENT_EXISTS'

export interface Attack {
  /** Requests that were sent. */
  cases: number
  /** Operations that the document has, and of these those that got a request. */
  operations: string[]
  tried: Set<string>
  /** What was wrong, each kind once for an operation. */
  findings: string[]
}

interface Check {
  name: string
  status: string
  failure_info?: { failure?: { message?: string } }
}
interface Interaction {
  request?: { method: string; uri: string; body?: { $base64?: string } }
  response?: { status_code: number; content?: { $base64?: string } }
}
interface Recorder {
  label: string
  checks?: Record<string, Check[]>
  interactions?: Record<string, Interaction>
}

/**
 * Tries the OpenAPI document of a service with schemathesis: every operation of it, no server errors but those said on
 * purpose, answers that fit their schemas, a platform that still answers afterwards. Throws EnvironmentError where it
 * cannot be installed.
 */
export async function attack(service: ServiceName, platform: TestPlatform, at: At): Promise<Attack> {
  const python = await ensureEnvironment('schemathesis-4.32.5')
  const program = join(dirname(python), 'schemathesis')
  const document = join(at.dir, `${service}.json`)
  await mkdir(at.dir, { recursive: true })
  const answer = await fetch(`${platform.env.NEMO_URL}/openapi/${service}.json`)
  const text = await answer.text()
  await writeFile(document, text)
  const base = platform.env[DOCUMENTS[service]] ?? ''
  const attacked: Attack = {
    cases: 0,
    operations: operationsOf(JSON.parse(text)),
    tried: new Set(),
    findings: [],
  }
  const { findings } = attacked
  const said = await round(attacked, { ...at, program, document, base, only: [] })
  // A slow machine may have had no time for the last of them.
  const late = untried(service, attacked)
  if (late.length > 0) await round(attacked, { ...at, program, document, base, only: late })
  if (!(await answers(platform))) findings.push(`the platform does not answer any more`)
  if (attacked.cases === 0) findings.push(`schemathesis tried nothing:\n${said.slice(-2000)}`)
  else findings.push(...untried(service, attacked).map((one) => `${one}: never tried`))
  for (const one of Object.keys(UNREACHED[service] ?? {}))
    if (attacked.tried.has(one) || !attacked.operations.includes(one))
      findings.push(`${one}: is in UNREACHED, and was tried or is no operation`)
  return attacked
}

interface At {
  dir: string
  effort: Effort
  seed: number
}

/** Every operation of an OpenAPI document as schemathesis names it. */
export function operationsOf(document: { paths?: Record<string, object> }): string[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((key) => /^(get|put|post|delete|options|head|patch|trace)$/.test(key))
      .map((method) => `${method.toUpperCase()} ${path}`),
  )
}

function untried(service: ServiceName, { operations, tried }: Attack): string[] {
  return operations.filter((one) => !tried.has(one) && UNREACHED[service]?.[one] === undefined)
}

/** One run of schemathesis, over `only` these operations where some are named; gives what it printed. */
async function round(
  attacked: Attack,
  { dir, effort, seed, ...of }: At & { program: string; document: string; base: string; only: string[] },
): Promise<string> {
  const report = of.document.replace(/json$/, of.only.length > 0 ? 'late.ndjson' : 'ndjson')
  const args = ['run', of.document, '--url', of.base, '--phases', effort.phases, '--checks', CHECKS]
  const bounds = ['--max-examples', effort.examples, '--max-time', effort.seconds, '--seed', seed]
  const ways = ['--no-shrink', '--continue-on-failure', '--suppress-health-check', 'all', '--warnings', 'off']
  const output = ['--request-timeout', '30', '--report', 'ndjson', '--report-ndjson-path', report]
  const names = of.only.flatMap((name) => ['--include-name', name])
  const { output: said } = await runCommand(
    of.program,
    [...args, ...bounds, ...ways, ...output, ...names].map(String),
    // It keeps what it learns of a document in its working folder.
    { cwd: dir, timeout: (effort.seconds + 120) * 1000 },
  )
  await readReport(report, attacked)
  return said
}

async function readReport(path: string, attacked: Attack): Promise<void> {
  const findings = new Map<string, string>()
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const { ScenarioFinished: scenario } = JSON.parse(line) as { ScenarioFinished?: { recorder?: Recorder } }
    const recorder = scenario?.recorder
    if (!recorder) continue
    const count = Object.keys(recorder.interactions ?? {}).length
    attacked.cases += count
    if (count > 0) attacked.tried.add(recorder.label)
    for (const [key, finding] of failures(recorder)) if (!findings.has(key)) findings.set(key, finding)
  }
  attacked.findings.push(...findings.values())
}

function* failures({ label, checks = {}, interactions = {} }: Recorder): Generator<[string, string]> {
  for (const [id, list] of Object.entries(checks)) {
    const interaction = interactions[id] ?? {}
    for (const check of list) {
      if (check.status === 'success' || isOnPurpose(check, interaction)) continue
      const key = `${label}: ${check.name} ${interaction.response?.status_code ?? 'no answer'}`
      yield [key, describe(key, check, interaction)]
    }
  }
}

function isOnPurpose(check: Check, { response }: Interaction): boolean {
  if (check.name !== 'not_a_server_error' || !response) return false
  const { code, error } = parse(response) as { code?: string; error?: { code?: string } }
  const said = code ?? error?.code
  if (!said || said === 'INTERNAL') return false
  return ON_PURPOSE.includes(response.status_code) || said === WIRE_500
}

function parse(response: NonNullable<Interaction['response']>): Record<string, unknown> {
  try {
    return JSON.parse(text(response.content) || '{}')
  } catch {
    return {}
  }
}

const text = (content: { $base64?: string } | undefined) =>
  Buffer.from(content?.$base64 ?? '', 'base64').toString()

function describe(key: string, check: Check, { request, response }: Interaction): string {
  const sent = request ? `${request.method} ${request.uri} ${text(request.body)}` : ''
  const why = check.failure_info?.failure?.message ?? ''
  const got = text(response?.content)
  return [
    key,
    `  sent: ${sent.slice(0, 600)}`,
    `  got: ${got.slice(0, 400)}`,
    `  ${why.slice(0, 300).replaceAll('\n', ' ')}`,
  ].join('\n')
}

async function answers(platform: TestPlatform): Promise<boolean> {
  return await fetch(`${platform.env.NEMO_URL}/health`, { signal: AbortSignal.timeout(20_000) }).then(
    (response) => response.ok,
    () => false,
  )
}

/** Files below `dir` that are in none of the folders `allowed`. */
export async function strayFiles(dir: string, allowed: string[]): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !allowed.some((folder) => path.startsWith(`${folder}/`)))
}
