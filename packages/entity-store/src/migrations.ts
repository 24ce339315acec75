// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '@open-nemo/runtime'

/**
 * One table of the same shape for each kind. `doc` is the whole public document; the columns beside it are
 * what lookups and sorting need, in "C" collation so that the indexes serve any locale. A namespace's own
 * row has namespace '' and its id as the name.
 */
const table = (name: string) => `
  CREATE TABLE entity_store.${name} (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    doc jsonb NOT NULL,
    secrets jsonb,
    PRIMARY KEY (namespace, name)
  );
  CREATE INDEX ${name}_created ON entity_store.${name} (created_at, id);
  CREATE INDEX ${name}_namespace_created ON entity_store.${name} (namespace, created_at, id);
  CREATE INDEX ${name}_name ON entity_store.${name} (name, namespace);`

export const migrations: Migration[] = [
  {
    id: 1,
    name: 'init',
    sql: `
      ${['namespaces', 'projects', 'datasets', 'models'].map(table).join('\n')}
      -- Counting 100,000 rows for every page costs more than the page; kept in the statement that changes it.
      CREATE TABLE entity_store.counts (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        n int NOT NULL,
        PRIMARY KEY (kind, namespace)
      ) WITH (fillfactor = 50);
      -- What was created from the model catalogue, to tell it from what users made or changed.
      CREATE TABLE entity_store.seeds (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        content text NOT NULL,
        stamp text COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      );`,
  },
]
