// SPDX-License-Identifier: Apache-2.0
import { type NemoGuardrailSpec, nemoGuardrailSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { CLAIM, claimObjects, claimPaths } from '../nemo-service/claims.ts'
import { databaseAccess, fromSecret, urlSecret } from '../nemo-service/database.ts'
import { configMapRef, secretRef } from '../nemo-service/inputs.ts'
import { OTEL_PATHS, otelEnv } from '../nemo-service/otel.ts'
import type { Build, BuildInput, Fields, NemoKind } from '../nemo-service/types.ts'
import { waitForPostgres } from '../nemo-service/workload.ts'
import { mergeEnv, variables } from '../pod-basics/placement.ts'

const API_KEY = 'NIM_ENDPOINT_API_KEY'
const PVC = 'configStore.pvc'

export const guardrail: NemoKind<NemoGuardrailSpec> = {
  kind: 'NemoGuardrail',
  plural: 'nemoguardrails',
  service: 'guardrails',
  schema: nemoGuardrailSpec,
  port: 8000,
  probes: { startup: '/v1/health', live: '/v1/health', ready: '/v1/health' },
  selector: ['app', 'name', 'instance'],
  acted: [
    'databaseConfig',
    'configStore.configMap.name',
    ...claimPaths(PVC),
    `${PVC}.subPath`,
    'nimEndpoint.baseURL',
    'nimEndpoint.apiKeySecret',
    'nimEndpoint.apiKeyKey',
    ...OTEL_PATHS,
  ],
  references: ({ databaseConfig, configStore, nimEndpoint }, name) => [
    ...(databaseConfig ? [secretRef(databaseConfig.credentials.secretName)] : []),
    ...(configStore?.configMap?.name ? [configMapRef(configStore.configMap.name)] : []),
    ...(configStore?.pvc ? [{ ...CLAIM, name: configStore.pvc.name || `${name}-pvc` }] : []),
    ...(nimEndpoint?.apiKeySecret ? [secretRef(nimEndpoint.apiKeySecret)] : []),
  ],
  build,
}

function build(input: BuildInput<NemoGuardrailSpec>): Build {
  const { namespace, spec } = input
  const store = configStore(input)
  const database = databasePart(input)
  const nim = nimPart(spec, input.world.get(secretRef(spec.nimEndpoint?.apiKeySecret ?? '')) !== undefined)
  return {
    missing: [...database.missing, ...store.missing, ...nim.missing],
    objects: [...store.objects, ...database.objects],
    env: [
      ...variables([
        ['NAMESPACE', namespace],
        ['CONFIG_STORE_PATH', '/config-store'],
        ['DEFAULT_CONFIG_ID', 'default'],
        ['DEFAULT_LLM_PROVIDER', 'nim'],
        ['NEMO_GUARDRAILS_SERVER_ENABLE_CORS', 'False'],
        ['NEMO_GUARDRAILS_SERVER_ALLOWED_ORIGINS', '*'],
        ['GUARDRAILS_HOST', '0.0.0.0'],
        ['GUARDRAILS_PORT', '8000'],
        ['DEMO', 'False'],
      ]),
      ...nim.env,
      ...database.env,
      ...otelEnv(spec.otel),
      ...(spec.otel?.enabled
        ? variables([['OTEL_RESOURCE_ATTRIBUTES', 'deployment.environment=$(NAMESPACE)']])
        : []),
    ],
    volumes: [store.volume],
    mounts: [store.mount],
    initContainers: database.init,
  }
}

function configStore({ name, spec, world }: BuildInput<NemoGuardrailSpec>) {
  const mountPath = '/config-store'
  const { configMap, pvc } = spec.configStore ?? {}
  const none = { objects: [], missing: [] as string[], mount: { name: 'config-store', mountPath } as Fields }
  if (configMap?.name) {
    const there = world.get(configMapRef(configMap.name))
    const missing = `ConfigMap ${configMap.name} of spec.configStore.configMap does not exist: make it with the files of the configuration`
    return {
      ...none,
      volume: { name: 'config-store', configMap: { name: configMap.name } },
      missing: there ? [] : [missing],
    }
  }
  // Neither is fine: configurations are then made through the API alone.
  if (!pvc || (!pvc.create && !pvc.name)) return { ...none, volume: { name: 'config-store', emptyDir: {} } }
  const claim = claimObjects(pvc, `${name}-pvc`, world, PVC)
  return {
    ...claim,
    volume: { name: 'config-store', persistentVolumeClaim: { claimName: claim.name } },
    mount: { ...none.mount, subPath: pvc.subPath || 'guardrails-config-store' },
  }
}

function nimPart(
  { nimEndpoint }: NemoGuardrailSpec,
  keyThere: boolean,
): { env: Fields[]; missing: string[] } {
  if (!nimEndpoint) return { env: [], missing: [] }
  const { baseURL, apiKeySecret, apiKeyKey } = nimEndpoint
  const env: Fields[] = variables([['NIM_ENDPOINT_URL', baseURL]])
  if (!apiKeySecret) return { env, missing: [] }
  env.push({ name: API_KEY, valueFrom: fromSecret(apiKeySecret, apiKeyKey || API_KEY) })
  const missing = `Secret ${apiKeySecret} of spec.nimEndpoint.apiKeySecret does not exist: make it with the key ${apiKeyKey || API_KEY}`
  return { env, missing: keyThere ? [] : [missing] }
}

function databasePart(input: BuildInput<NemoGuardrailSpec>) {
  const { name, namespace, spec, world, maker, image } = input
  const none = { env: [] as Fields[], missing: [] as string[], objects: [], init: [] as Fields[] }
  if (!spec.databaseConfig) return none
  const access = databaseAccess(spec.databaseConfig, world)
  const env: Fields[] = [
    { name: 'POSTGRES_DB_PASSWORD', valueFrom: access.passwordRef },
    { name: 'POSTGRES_URI', valueFrom: fromSecret(name, 'uri') },
    { name: 'DB_URI', valueFrom: fromSecret(name, 'uri') },
  ]
  const migration = {
    name: 'guardrail-db-migration',
    image,
    command: ['/app/.venv/bin/alembic'],
    args: ['upgrade', 'head'],
    workingDir: '/app/services/guardrails',
    env: mergeEnv(spec.env, [
      ...variables([
        ['NAMESPACE', namespace],
        ['PYTHONPATH', '/app/services/guardrails'],
      ]),
      ...env,
    ]),
    resources: { limits: { cpu: '1', memory: '1Gi' } },
  }
  return {
    env,
    missing: access.missing,
    objects: access.url ? [urlSecret(name, 'uri', access.url)] : [],
    init: maker === 'nvidia' ? [waitForPostgres(input, spec.databaseConfig), migration] : [],
  }
}
