// SPDX-License-Identifier: Apache-2.0
import { type NemoDatastoreSpec, nemoDatastoreSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { CLAIM, claimObjects, claimPaths } from '../nemo-service/claims.ts'
import { databaseAccess, fromSecret } from '../nemo-service/database.ts'
import { secretRef } from '../nemo-service/inputs.ts'
import type { Build, BuildInput, Fields, NemoKind } from '../nemo-service/types.ts'
import { mergeEnv, variables } from '../pod-basics/placement.ts'

/** What NVIDIA's image needs and ours does without. */
const NVIDIA_ONLY = [
  'secrets.datastoreConfigSecret',
  'secrets.datastoreInitSecret',
  'secrets.datastoreInlineConfigSecret',
  'secrets.giteaAdminSecret',
  'secrets.lfsJwtSecret',
]

export const datastore: NemoKind<NemoDatastoreSpec> = {
  kind: 'NemoDatastore',
  plural: 'nemodatastores',
  service: 'data-store',
  schema: nemoDatastoreSpec,
  port: 3000,
  probes: { startup: '/v1/health', live: '/v1/health', ready: '/v1/health' },
  selector: ['name', 'instance'],
  acted: ['databaseConfig', ...claimPaths('pvc'), 'pvc.subPath', 'objectStoreConfig', ...NVIDIA_ONLY],
  references: ({ databaseConfig, pvc, objectStoreConfig, secrets }, name) => [
    secretRef(databaseConfig.credentials.secretName),
    ...(pvc ? [{ ...CLAIM, name: pvc.name || `${name}-pvc` }] : []),
    ...(objectStoreConfig ? [secretRef(objectStoreConfig.credentials.secretName)] : []),
    ...Object.values(secrets ?? {})
      .filter((v) => typeof v === 'string' && v !== '')
      .map((v) => secretRef(String(v))),
  ],
  build,
}

function build(input: BuildInput<NemoDatastoreSpec>): Build {
  const { name, spec, world, maker } = input
  const access = databaseAccess(spec.databaseConfig, world)
  const claim = spec.pvc
    ? claimObjects(spec.pvc, `${name}-pvc`, world, 'pvc')
    : { name: '', objects: [], missing: [] }
  const mount: Fields = {
    name: 'data',
    mountPath: '/data',
    ...(spec.pvc?.subPath ? { subPath: spec.pvc.subPath } : {}),
  }
  const data = spec.pvc ? { persistentVolumeClaim: { claimName: claim.name } } : { emptyDir: {} }
  const common = { objects: claim.objects, missing: [...access.missing, ...claim.missing] }
  const volumes: Fields[] = [{ name: 'data', ...data }]
  if (maker !== 'nvidia')
    return {
      ...common,
      missing: [...common.missing, ...missingKeys(input)],
      volumes,
      mounts: [mount],
      env: [...databaseEnv(input), ...bucketEnv(spec), ...bucketKeys(spec)],
      notes: unusedByOurs(spec),
    }
  return nvidiaBuild(input, { ...common, volumes, mount })
}

/** The bucket for LFS objects in the words of the contract. */
function bucketEnv({ objectStoreConfig: store }: NemoDatastoreSpec): Fields[] {
  if (!store) return []
  return variables([
    ['GITEA__LFS__STORAGE_TYPE', 'minio'],
    ['GITEA__LFS__MINIO_ENDPOINT', store.endpoint],
    ['GITEA__LFS__MINIO_BUCKET', store.bucketName],
    ['GITEA__LFS__MINIO_LOCATION', store.region],
    ['GITEA__LFS__MINIO_USE_SSL', String(store.ssl)],
  ])
}

function bucketKeys({ objectStoreConfig: store }: NemoDatastoreSpec): Fields[] {
  if (!store) return []
  const { user, secretName, passwordKey } = store.credentials
  return [
    { name: 'GITEA__LFS__MINIO_ACCESS_KEY_ID', value: user },
    { name: 'GITEA__LFS__MINIO_SECRET_ACCESS_KEY', valueFrom: fromSecret(secretName, passwordKey) },
  ]
}

function missingKeys({ spec, world }: BuildInput<NemoDatastoreSpec>): string[] {
  const { secretName, passwordKey } = spec.objectStoreConfig?.credentials ?? {}
  if (!secretName || world.get(secretRef(secretName))) return []
  return [
    `Secret ${secretName} of spec.objectStoreConfig.credentials does not exist: make it with the key ${passwordKey}`,
  ]
}

/** The database's settings in the words of the contract. */
function databaseEnv({ spec, world }: BuildInput<NemoDatastoreSpec>): Fields[] {
  const { host, port, databaseName, credentials } = spec.databaseConfig
  return [
    ...variables([
      ['GITEA__DATABASE__NAME', databaseName],
      ['GITEA__DATABASE__HOST', `${host}:${port}`],
      ['GITEA__DATABASE__USER', credentials.user],
    ]),
    { name: 'GITEA__DATABASE__PASSWD', valueFrom: databaseAccess(spec.databaseConfig, world).passwordRef },
  ]
}

/** Fields that another image would use. */
function unusedByOurs(spec: NemoDatastoreSpec): string[] {
  const notes: string[] = []
  const scripts = Object.keys(spec.secrets ?? {})
  if (scripts.length > 0)
    notes.push(`our image needs none of the Secrets in spec.secrets (${scripts.sort().join(', ')})`)
  if (spec.objectStoreConfig?.serveDirect)
    notes.push(
      'our image hands files out itself: spec.objectStoreConfig.serveDirect is kept and without effect',
    )
  return notes
}

/** NVIDIA's image: three steps with the scripts of the Secrets, then the service. */
function nvidiaBuild(
  input: BuildInput<NemoDatastoreSpec>,
  common: { objects: Build['objects']; missing: string[]; volumes: Fields[]; mount: Fields },
): Build {
  const { spec, world, image } = input
  const secrets = spec.secrets ?? {}
  const scripts: [string, string | undefined][] = [
    ['datastoreInitSecret', secrets.datastoreInitSecret],
    ['datastoreConfigSecret', secrets.datastoreConfigSecret],
    ['datastoreInlineConfigSecret', secrets.datastoreInlineConfigSecret],
    ['giteaAdminSecret', secrets.giteaAdminSecret],
    ['lfsJwtSecret', secrets.lfsJwtSecret],
  ]
  const missing = scripts.flatMap(([field, name]) => {
    if (!name) return [`spec.secrets.${field} is not set, and NVIDIA's image needs it: name the Secret`]
    return world.get(secretRef(name))
      ? []
      : [`Secret ${name} of spec.secrets.${field} does not exist: make it`]
  })
  const env = nvidiaEnv(input)
  const initEnv = mergeEnv(spec.env, [...env, ...nvidiaInitEnv(input)])
  const initMounts = [
    { name: 'init', mountPath: '/usr/sbin/init' },
    { name: 'config', mountPath: '/usr/sbin' },
    { name: 'inline-config-sources', mountPath: '/env-to-ini-mounts/inlines/' },
    { name: 'temp', mountPath: '/tmp' },
    common.mount,
  ]
  const step = (name: string, command: string[], mounts: Fields[]): Fields => ({
    name,
    image,
    command,
    env: initEnv,
    volumeMounts: mounts,
  })
  const withInit = initMounts.filter((m) => m.name !== 'config')
  return {
    objects: common.objects,
    missing: [...common.missing, ...missing],
    env,
    volumes: [
      ...common.volumes,
      { name: 'temp', emptyDir: {} },
      { name: 'init', secret: { secretName: secrets.datastoreInitSecret ?? '', defaultMode: 0o755 } },
      { name: 'config', secret: { secretName: secrets.datastoreConfigSecret ?? '', defaultMode: 0o755 } },
      { name: 'inline-config-sources', secret: { secretName: secrets.datastoreInlineConfigSecret ?? '' } },
    ],
    mounts: [{ name: 'temp', mountPath: '/tmp' }, common.mount],
    initContainers: [
      step('init-directories', ['/usr/sbin/init/init_directory_structure.sh'], withInit),
      step(
        'init-app-ini',
        ['/usr/sbin/config_environment.sh'],
        initMounts.filter((m) => m.name !== 'init'),
      ),
      step('configure-datastore', ['/bin/sh', '-c', '/usr/sbin/init/configure_gitea.sh'], withInit),
    ],
  }
}

function nvidiaEnv({ spec, world }: BuildInput<NemoDatastoreSpec>): Fields[] {
  return [
    ...variables([
      ['SSH_LISTEN_PORT', '2222'],
      ['SSH_PORT', '22'],
      ['GITEA_APP_INI', '/data/gitea/conf/app.ini'],
      ['GITEA_CUSTOM', '/data/gitea'],
      ['GITEA_WORK_DIR', '/data'],
      ['TMPDIR', '/tmp/gitea'],
      ['GITEA_TEMP', '/tmp/gitea'],
      ['HOME', '/data/gitea/git'],
    ]),
    {
      name: 'GITEA__SERVER__LFS_JWT_SECRET',
      valueFrom: fromSecret(spec.secrets?.lfsJwtSecret ?? '', 'jwtSecret'),
    },
    { name: 'GITEA__DATABASE__PASSWD', valueFrom: databaseAccess(spec.databaseConfig, world).passwordRef },
    ...bucketKeys(spec),
  ]
}

function nvidiaInitEnv({ spec }: BuildInput<NemoDatastoreSpec>): Fields[] {
  const { host, port, databaseName, credentials } = spec.databaseConfig
  const admin = spec.secrets?.giteaAdminSecret ?? ''
  return [
    { name: 'GITEA_ADMIN_USERNAME', valueFrom: fromSecret(admin, 'GITEA_ADMIN_USERNAME') },
    { name: 'GITEA_ADMIN_PASSWORD', valueFrom: fromSecret(admin, 'GITEA_ADMIN_PASSWORD') },
    ...variables([
      ['GITEA__DATABASE__SSL_MODE', 'disable'],
      ['GITEA__DATABASE__NAME', databaseName],
      ['GITEA__DATABASE__HOST', `${host}:${port}`],
      ['GITEA__DATABASE__USER', credentials.user],
    ]),
    ...variables(
      spec.objectStoreConfig
        ? [['GITEA__LFS__SERVE_DIRECT', String(spec.objectStoreConfig.serveDirect)]]
        : [],
    ),
    ...bucketEnv(spec),
  ]
}
