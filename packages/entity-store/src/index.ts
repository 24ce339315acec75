// SPDX-License-Identifier: Apache-2.0
import { createHash, timingSafeEqual } from 'node:crypto'
import { INTERNAL_TOKEN_HEADER } from '@open-nemo/contract/entity-store/schemas.ts'
import {
  createApp,
  migrate,
  parseConfig,
  type RouteInput,
  type RunningService,
  type ServiceContext,
  type ServiceDefinition,
} from '@open-nemo/runtime'
import { z } from 'zod'
import { migrations } from './migrations.ts'
import { registerRoutes } from './routes.ts'
import { seedCatalogue } from './seeds.ts'
import { ping } from './store.ts'

const configSchema = z.object({
  /** Shared by the platform's services; whoever sends it reads api keys in clear. Without it nobody does. */
  NEMO_INTERNAL_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
})

/** Namespaces, projects, datasets and models: the platform's records of what exists. */
export const service: ServiceDefinition = { name: 'entity-store', start }

async function start(ctx: ServiceContext): Promise<RunningService> {
  const config = parseConfig(configSchema, ctx.env)
  await migrate(ctx.db, 'entity_store', migrations)
  await seedCatalogue(ctx.db, ctx.catalogue, ctx.log)
  const ready = () => ping(ctx.db).catch(() => false)
  const app = createApp({ name: ctx.name, title: 'Entity Store', log: ctx.log, metrics: ctx.metrics, ready })
  registerRoutes({ app, db: ctx.db, isInternal: tokenCheck(config.NEMO_INTERNAL_TOKEN) })
  // Each operation is one short statement or transaction, so the server's own draining is all there is to do.
  return { app, ready, stop: async () => {} }
}

function tokenCheck(token: string | undefined): (input: RouteInput<unknown>) => boolean {
  if (!token) return () => false
  const wanted = digest(token)
  return ({ c }) => {
    const given = c.req.header(INTERNAL_TOKEN_HEADER)
    return given !== undefined && timingSafeEqual(digest(given), wanted)
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest()
