// SPDX-License-Identifier: Apache-2.0
export {
  type FileLock,
  LockHeldError,
  processStart,
  readLock,
  takeLock,
} from './config/lock.ts'
export { ConfigError, parseConfig, redactConfig } from './config/parse.ts'
export { openEmbedded, openMemoryDatabase } from './database/embedded.ts'
export { type Migration, migrate, NewerSchemaError } from './database/migrate.ts'
export { openServer } from './database/server.ts'
export { type Database, isUniqueViolation, type Queryable } from './database/types.ts'
export { DATABASE_WAIT_MS, waitForDatabase } from './database/wait.ts'
export { type DiskGuard, watchDisk } from './gateway/disk-guard.ts'
export { createGateway, createPlatformFetch, forwardTo, type Gateway, type Slot } from './gateway/gateway.ts'
export { destination, hostRole, type PortRole } from './gateway/table.ts'
export { type App, type AppEnv, createApp } from './http/app.ts'
export { errorResponse } from './http/error-response.ts'
export { openApiDocument } from './http/openapi.ts'
export { type RouteInput, type RouteSpec, readJson, route, validate } from './http/route.ts'
export { type FetchHandler, ListenError, type Listener, serve } from './http/serve.ts'
export type { RunningService, ServiceContext, ServiceDefinition } from './service.ts'
export { createLogger, type Logger, silentLogger } from './telemetry/log.ts'
export { createMetrics, Registry } from './telemetry/metrics.ts'
export { startTracing } from './telemetry/otel/start.ts'
export { type Carrier, inSpan, type Span, traceOfNow, tracing } from './telemetry/tracing.ts'
