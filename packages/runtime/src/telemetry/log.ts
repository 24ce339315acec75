// SPDX-License-Identifier: Apache-2.0
import pino from 'pino'

export type Logger = pino.Logger

/** Field names that never reach a log line in clear. */
const SECRET_PATHS = ['api_key', '*.api_key', '*.*.api_key', 'password', '*.password', 'token', '*.token']

/** A JSON-lines logger on standard error, or to `file` when given. Level from LOG_LEVEL, `info` unless set. */
export function createLogger(options: { level?: string; file?: string; name?: string } = {}): Logger {
  const destination = options.file
    ? pino.destination({ dest: options.file, mkdir: true, append: true, sync: false })
    : pino.destination({ dest: 2, sync: false })
  return pino(
    {
      name: options.name ?? 'nemo',
      level: options.level || 'info',
      redact: { paths: SECRET_PATHS, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}

/** A logger that writes nothing, for tests. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}
