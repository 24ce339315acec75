// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '@open-nemo/runtime'

export const SCHEMA = 'guardrails'

export const migrations: Migration[] = [
  {
    id: 1,
    name: 'init',
    sql: `
      -- Configurations: few rows, read whole; \`doc\` is the stored document.
      CREATE TABLE guardrails.configs (
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        doc jsonb NOT NULL,
        PRIMARY KEY (namespace, name)
      );`,
  },
]
