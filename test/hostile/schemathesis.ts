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

export const FAST: Effort = { phases: 'fuzzing', examples: 1, seconds: 8 }
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

const CHECKS = 'not_a_server_error,content_type_conformance,response_schema_conformance'
/** Server errors that are said on purpose, each with its code. 500 is what clients of deployments look for. */
const ON_PURPOSE = [501, 502, 503, 504, 507]
const WIRE_500 = 'DEPLOYMENT_EXISTS'

export interface Attack {
  /** Requests that were sent. */
  cases: number
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
 * Tries the OpenAPI document of a service with schemathesis: no server errors but those said on purpose, answers that
 * fit their schemas, a platform that still answers afterwards. Throws EnvironmentError where it cannot be installed.
 */
export async function attack(
  service: ServiceName,
  platform: TestPlatform,
  at: { dir: string; effort: Effort; seed: number },
): Promise<Attack> {
  const python = await ensureEnvironment('schemathesis-4.32.5')
  const base = platform.env[DOCUMENTS[service]] ?? ''
  const document = join(at.dir, `${service}.json`)
  const report = join(at.dir, `${service}.ndjson`)
  await mkdir(at.dir, { recursive: true })
  const answer = await fetch(`${platform.env.NEMO_URL}/openapi/${service}.json`)
  await writeFile(document, await answer.text())
  const args = ['run', document, '--url', base, '--phases', at.effort.phases, '--checks', CHECKS]
  const bounds = ['--max-examples', at.effort.examples, '--max-time', at.effort.seconds, '--seed', at.seed]
  const ways = ['--no-shrink', '--continue-on-failure', '--suppress-health-check', 'all', '--warnings', 'off']
  const output = ['--request-timeout', '30', '--report', 'ndjson', '--report-ndjson-path', report]
  const { output: said } = await runCommand(
    join(dirname(python), 'schemathesis'),
    [...args, ...bounds, ...ways, ...output].map(String),
    // It keeps what it learns of a document in its working folder.
    { cwd: at.dir, timeout: (at.effort.seconds + 120) * 1000 },
  )
  const attacked = await readReport(report)
  if (!(await answers(platform))) attacked.findings.push(`the platform does not answer any more`)
  if (attacked.cases === 0) attacked.findings.push(`schemathesis tried nothing:\n${said.slice(-2000)}`)
  return attacked
}

async function readReport(path: string): Promise<Attack> {
  const findings = new Map<string, string>()
  let cases = 0
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const { ScenarioFinished: scenario } = JSON.parse(line) as { ScenarioFinished?: { recorder?: Recorder } }
    const recorder = scenario?.recorder
    if (!recorder) continue
    const { checks = {}, interactions = {} } = recorder
    cases += Object.keys(interactions).length
    for (const [id, list] of Object.entries(checks)) {
      for (const check of list) {
        const interaction = interactions[id] ?? {}
        if (check.status === 'success' || isOnPurpose(check, interaction)) continue
        const key = `${recorder.label}: ${check.name} ${interaction.response?.status_code ?? 'no answer'}`
        if (!findings.has(key)) findings.set(key, describe(key, check, interaction))
      }
    }
  }
  return { cases, findings: [...findings.values()] }
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
