// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '@open-nemo/runtime'
import { jobTableMigration } from '@open-nemo/runtime/jobs/index.ts'

export const SCHEMA = 'customizer'

export const migrations: Migration[] = [
  {
    id: 1,
    name: 'init',
    sql: `
      -- Targets and configs: few rows, read whole; \`doc\` is the stored document.
      CREATE TABLE customizer.entities (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        doc jsonb NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      );
      -- What came from the model catalogue, to tell it from what users made, changed or deleted.
      CREATE TABLE customizer.seeds (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        content text NOT NULL,
        stamp text COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      );`,
  },
  jobTableMigration(2, SCHEMA),
  {
    id: 3,
    name: 'one job for an output model',
    sql: `
      CREATE UNIQUE INDEX jobs_output ON customizer.jobs ((payload->>'output_model'))
      WHERE status IN ('created', 'pending', 'running', 'cancelling');`,
  },
]
