// SPDX-License-Identifier: Apache-2.0
import { createApp, migrate, type ServiceContext, type ServiceDefinition } from '@open-nemo/runtime'
import { accountRoutes } from './http/account.ts'
import { collectRoutes } from './http/collect.ts'
import { commitRoutes } from './http/commits.ts'
import { sweepExpired } from './http/file-expiry.ts'
import { fileRoutes } from './http/files.ts'
import { gitRoutes } from './http/git.ts'
import { lfsRoutes } from './http/lfs.ts'
import { namespaceRoutes } from './http/namespaces.ts'
import { openAiFileRoutes } from './http/openai-files.ts'
import { refRoutes } from './http/refs.ts'
import { repoRoutes } from './http/repos.ts'
import { seedModels } from './seed-models.ts'
import { FileRows } from './storage/file-rows.ts'
import { Repositories } from './storage/repositories.ts'
import { migrations, Rows } from './storage/rows.ts'
import { storeSettings } from './storage/settings.ts'

/** The data store: the Hugging Face Hub's protocol on bare git repositories and LFS objects. */
export const service: ServiceDefinition = {
  name: 'data-store',
  async start(ctx: ServiceContext) {
    await migrate(ctx.db, 'data_store', migrations)
    const store = new Repositories({
      dir: ctx.dataDir,
      rows: new Rows(ctx.db),
      log: ctx.log,
      settings: storeSettings(ctx.env),
    })
    await store.open()
    const app = createApp({
      name: 'data-store',
      title: 'Open NeMo Data Store',
      log: ctx.log,
      metrics: ctx.metrics,
      errorStyle: 'hub',
    })
    const hub = { app, store }
    const files = new FileRows(ctx.db)
    namespaceRoutes(hub)
    accountRoutes(hub)
    repoRoutes(hub)
    commitRoutes(hub)
    collectRoutes(hub, files)
    refRoutes(hub)
    fileRoutes(hub)
    lfsRoutes(hub)
    gitRoutes(hub)
    openAiFileRoutes(hub, files)
    const expiring = sweepExpired(store, files, ctx.log)
    const seeding = seedModels(ctx, app)
    return {
      app,
      stop: async () => {
        await seeding.stop()
        await expiring.stop()
        await store.close()
      },
    }
  },
}
