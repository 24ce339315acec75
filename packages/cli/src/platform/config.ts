// SPDX-License-Identifier: Apache-2.0
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
// By its own path: every command comes by here, operators too, and the runtime's index loads two databases and a server.
import { parseConfig } from '@open-nemo/runtime/config/parse.ts'
import { z } from 'zod'

const port = (fallback: number) =>
  z.coerce.number('must be a port number').int('must be a whole number').min(0).max(65_535).default(fallback)

/** Settings of the platform as a whole; each service parses its own beside these. */
const schema = z.object({
  /** The platform's data. One running platform holds it. */
  NEMO_HOME: z.string().default(join(homedir(), '.open-nemo')),
  /** Models, the trainer's environment and downloads; may be shared between homes. */
  NEMO_CACHE: z.string().default(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'open-nemo')),
  /** Address to listen on; loopback unless told otherwise. */
  NEMO_HOST: z.string().default('127.0.0.1'),
  NEMO_PORT: port(8080),
  NEMO_DATA_STORE_PORT: port(3000),
  NEMO_EVALUATOR_PORT: port(7331),
  NEMO_NIM_PORT: port(8000),
  /** PostgreSQL server to use in place of the embedded one. */
  NEMO_DATABASE_URL: z
    .string()
    .regex(
      /^postgres(ql)?:\/\//,
      'must be a postgresql:// URL; percent-encode special characters of the password',
    )
    .optional(),
  /** Certificate of the authority that the database server's is signed by. */
  NEMO_DATABASE_CA: z.string().optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
})

export interface PlatformConfig {
  home: string
  cache: string
  host: string
  ports: { platform: number; dataStore: number; evaluator: number; nim: number }
  databaseUrl: string | undefined
  databaseCa: string | undefined
  logLevel: string
}

/** Reads the platform's settings. Throws ConfigError naming the variables at fault. */
export function platformConfig(env: Record<string, string | undefined>): PlatformConfig {
  const c = parseConfig(schema, env)
  return {
    home: resolve(c.NEMO_HOME),
    cache: resolve(c.NEMO_CACHE),
    host: c.NEMO_HOST,
    ports: {
      platform: c.NEMO_PORT,
      dataStore: c.NEMO_DATA_STORE_PORT,
      evaluator: c.NEMO_EVALUATOR_PORT,
      nim: c.NEMO_NIM_PORT,
    },
    databaseUrl: c.NEMO_DATABASE_URL,
    databaseCa: c.NEMO_DATABASE_CA,
    logLevel: c.LOG_LEVEL,
  }
}

/** Paths inside NEMO_HOME. */
export const homePaths = (home: string) => ({
  lock: join(home, 'lock'),
  secrets: join(home, 'secrets.json'),
  log: join(home, 'logs', 'platform.log'),
  postgres: join(home, 'postgres'),
  service: (name: string) => join(home, name),
})
