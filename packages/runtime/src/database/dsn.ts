// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { ConfigError } from '../config/parse.ts'

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
type Mode = (typeof MODES)[number]

/** What the driver takes: the URL without what concerns TLS, and that in the driver's words. */
export interface ServerAddress {
  connectionString: string
  /** Undefined where nothing says; then the driver looks at PGSSLMODE. */
  ssl?: false | ConnectionOptions
}

/**
 * Reads `sslmode`, `sslrootcert`, `sslcert` and `sslkey` of a `postgresql://` URL with the meaning that they have for
 * PostgreSQL's own clients, which is not the driver's. `ca` is a file to trust where the URL names none; with it and no
 * `sslmode`, the server is verified in full. Throws ConfigError for a mode that does not exist or an unreadable file.
 */
export function serverAddress(dsn: string, ca?: string): ServerAddress {
  const [base = '', query = ''] = splitOnce(dsn, '?')
  const params = new URLSearchParams(query)
  const take = (name: string) => {
    const value = params.get(name) ?? undefined
    params.delete(name)
    return value || undefined
  }
  const root = take('sslrootcert') ?? ca
  const given = take('sslmode')
  const [cert, key] = [take('sslcert'), take('sslkey')]
  const rest = params.toString()
  const connectionString = rest ? `${base}?${rest}` : base
  const mode = (given ?? (root ? 'verify-full' : undefined)) as Mode | undefined
  if (mode === undefined) return { connectionString }
  if (!MODES.includes(mode))
    throw new ConfigError(`sslmode=${mode} of the database URL is not one of ${MODES.join(', ')}`)
  if (mode === 'disable' || mode === 'allow' || mode === 'prefer') return { connectionString, ssl: false }
  return {
    connectionString,
    ssl: {
      ...hostOf(base),
      ...verification(mode, root),
      ...(cert ? { cert: read('sslcert', cert) } : {}),
      ...(key ? { key: read('sslkey', key) } : {}),
    },
  }
}

/** `require` alone encrypts and trusts anybody; with a root certificate it is `verify-ca`. */
function verification(mode: Mode, root: string | undefined): ConnectionOptions {
  const trusted = root && root !== 'system' ? { ca: read('root certificate', root) } : {}
  if (mode === 'require' && !root) return { rejectUnauthorized: false }
  if (mode === 'verify-full') return { ...trusted, rejectUnauthorized: true }
  return { ...trusted, rejectUnauthorized: true, checkServerIdentity: () => undefined }
}

/** The certificate of a server that is reached by its address has to name that; names the driver passes on itself. */
function hostOf(base: string): ConnectionOptions {
  const host = URL.canParse(base) ? new URL(base).hostname.replace(/^\[|\]$/g, '') : ''
  return isIP(host) ? { host } : {}
}

function read(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    throw new ConfigError(`the ${what} of the database, ${path}, cannot be read: ${(err as Error).message}`)
  }
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
