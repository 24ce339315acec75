// SPDX-License-Identifier: Apache-2.0
import { type NemoEntitystoreSpec, nemoEntitystoreSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { databaseAccess } from '../nemo-service/database.ts'
import { secretRef } from '../nemo-service/inputs.ts'
import type { Build, BuildInput, NemoKind } from '../nemo-service/types.ts'
import { waitForPostgres } from '../nemo-service/workload.ts'
import { variables } from '../pod-basics/placement.ts'

export const entitystore: NemoKind<NemoEntitystoreSpec> = {
  kind: 'NemoEntitystore',
  plural: 'nemoentitystores',
  service: 'entity-store',
  schema: nemoEntitystoreSpec,
  port: 8000,
  probes: { startup: '/health', live: '/health', ready: '/health' },
  selector: ['app', 'name', 'instance'],
  acted: ['databaseConfig', 'datastore.endpoint'],
  references: (spec) => [secretRef(spec.databaseConfig.credentials.secretName)],
  build,
}

function build(input: BuildInput<NemoEntitystoreSpec>): Build {
  const { spec, world, maker, image } = input
  const { host, port, databaseName, credentials } = spec.databaseConfig
  const access = databaseAccess(spec.databaseConfig, world)
  const postgres = [
    { name: 'POSTGRES_PASSWORD', valueFrom: access.passwordRef },
    ...variables([
      ['POSTGRES_USER', credentials.user],
      ['POSTGRES_HOST', host],
      ['POSTGRES_PORT', String(port)],
      ['POSTGRES_DB', databaseName],
    ]),
  ]
  return {
    missing: access.missing,
    env: [
      ...variables([
        ['APP_VERSION', spec.image.tag],
        ['BASE_URL_DATASTORE', spec.datastore?.endpoint ?? ''],
      ]),
      ...postgres,
    ],
    initContainers:
      maker === 'nvidia'
        ? [
            waitForPostgres(input, spec.databaseConfig),
            {
              name: 'entitystore-db-migration',
              image,
              command: ['/app/.venv/bin/python3'],
              args: ['-m', 'scripts.run_db_migration'],
              workingDir: '/app/services/entity-store',
              env: [...(spec.env ?? []), ...postgres],
              resources: { limits: { cpu: '1', memory: '1Gi' } },
            },
          ]
        : [],
  }
}
