// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '@open-nemo/runtime'
import { jobTableMigration } from '@open-nemo/runtime/jobs/index.ts'

export const SCHEMA = 'evaluator'

export const migrations: Migration[] = [
  {
    id: 1,
    name: 'init',
    sql: `
      -- Targets and configs. Secrets are masked in \`doc\`; \`secrets\` holds them, and no answer reads it.
      CREATE TABLE evaluator.entities (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL,
        doc jsonb NOT NULL,
        secrets jsonb NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      );
      CREATE INDEX entities_created ON evaluator.entities (kind, created_at);
      CREATE TABLE evaluator.results (
        id text COLLATE "C" PRIMARY KEY,
        job text COLLATE "C" NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL,
        doc jsonb NOT NULL
      );
      CREATE INDEX results_job ON evaluator.results (job, created_at);`,
  },
  jobTableMigration(2, SCHEMA),
  {
    id: 3,
    name: 'what jobs record',
    sql: `
      -- Written before the job, and kept only while it has not ended.
      CREATE TABLE evaluator.job_secrets (
        job text COLLATE "C" PRIMARY KEY,
        secrets jsonb NOT NULL
      );
      CREATE TABLE evaluator.samples (
        job text COLLATE "C" NOT NULL REFERENCES evaluator.jobs (id) ON DELETE CASCADE,
        task text COLLATE "C" NOT NULL,
        idx int NOT NULL,
        is_failed boolean NOT NULL,
        retries int NOT NULL,
        record jsonb NOT NULL,
        PRIMARY KEY (job, task, idx)
      );
      CREATE TABLE evaluator.logs (
        id bigint GENERATED ALWAYS AS IDENTITY,
        job text COLLATE "C" NOT NULL REFERENCES evaluator.jobs (id) ON DELETE CASCADE,
        at text COLLATE "C" NOT NULL,
        task text NOT NULL,
        message text NOT NULL,
        PRIMARY KEY (job, id)
      );
      CREATE TABLE evaluator.artifacts (
        job text COLLATE "C" NOT NULL REFERENCES evaluator.jobs (id) ON DELETE CASCADE,
        path text COLLATE "C" NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (job, path)
      );`,
  },
  {
    id: 4,
    name: 'what kinds keep while a job runs',
    sql: `
      CREATE TABLE evaluator.kept (
        id bigint GENERATED ALWAYS AS IDENTITY,
        job text COLLATE "C" NOT NULL REFERENCES evaluator.jobs (id) ON DELETE CASCADE,
        key text COLLATE "C" NOT NULL,
        text bytea NOT NULL,
        PRIMARY KEY (job, key, id)
      );`,
  },
]
