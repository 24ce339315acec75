// SPDX-License-Identifier: Apache-2.0
import { type NemoEvaluatorSpec, nemoEvaluatorSpec } from '@open-nemo/contract/kubernetes/nemo-kinds.ts'
import { databaseAccess, fromSecret, urlSecret } from '../nemo-service/database.ts'
import { secretRef } from '../nemo-service/inputs.ts'
import { OTEL_PATHS, otelEnv } from '../nemo-service/otel.ts'
import type { Build, BuildInput, Fields, NemoKind } from '../nemo-service/types.ts'
import { waitForPostgres } from '../nemo-service/workload.ts'
import { mergeEnv, variables } from '../pod-basics/placement.ts'

export const evaluator: NemoKind<NemoEvaluatorSpec> = {
  kind: 'NemoEvaluator',
  plural: 'nemoevaluators',
  service: 'evaluator',
  schema: nemoEvaluatorSpec,
  port: 7331,
  probes: { startup: '/health', live: '/health', ready: '/health' },
  selector: ['name'],
  acted: [
    'databaseConfig',
    'datastore.endpoint',
    'entitystore.endpoint',
    'argoWorkflows.endpoint',
    'argoWorkflows.serviceAccount',
    'vectorDB.endpoint',
    'evaluationImages',
    'logHandlers',
    'consoleLogLevel',
    'evalLogLevel',
    'enableValidation',
    ...OTEL_PATHS,
  ],
  references: (spec) => [secretRef(spec.databaseConfig.credentials.secretName)],
  build,
}

/** The images by the variable that names each. */
const IMAGES: [string, string][] = [
  ['BIGCODE_EVALUATION_HARNESS', 'bigcodeEvalHarness'],
  ['LM_EVAL_HARNESS', 'lmEvalHarness'],
  ['SIMILARITY_METRICS', 'similarityMetrics'],
  ['LLM_AS_A_JUDGE', 'llmAsJudge'],
  ['MT_BENCH', 'mtBench'],
  ['RETRIEVER', 'retriever'],
  ['RAG', 'rag'],
  ['BFCL', 'bfcl'],
  ['AGENTIC_EVAL', 'agenticEval'],
]

const NVIDIA_RULES: Fields[] = [
  { apiGroups: [''], resources: ['secrets', 'pods'], verbs: ['get', 'watch', 'list', 'create'] },
]
/**
 * Rights of an evaluator of ours that is told to run its jobs in pods of their own, made like its own pod: as Workflows,
 * submitted with its token, where there is an Argo server; else as batch Jobs.
 */
function podRules({ env, argoWorkflows }: NemoEvaluatorSpec): Fields[] {
  const given = (name: string) => env?.find((each) => each.name === name)?.value as string | undefined
  if (given('NEMO_EXECUTOR') !== 'kubernetes') return []
  const own = { apiGroups: [''], resources: ['pods'], verbs: ['get'] }
  if (!(given('ARGO_HOST') ?? argoWorkflows?.endpoint))
    return [own, { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'delete'] }]
  const account = given('SERVICE_ACCOUNT') ?? argoWorkflows?.serviceAccount
  return [
    own,
    {
      apiGroups: ['argoproj.io'],
      resources: ['workflows'],
      verbs: ['create', 'get', 'update', 'patch', 'delete'],
    },
    // The pods of the Workflows run with its account too, and report by it.
    ...(account
      ? []
      : [{ apiGroups: ['argoproj.io'], resources: ['workflowtaskresults'], verbs: ['create', 'patch'] }]),
  ]
}

function build(input: BuildInput<NemoEvaluatorSpec>): Build {
  const { name, namespace, spec, world, maker, image } = input
  const access = databaseAccess(spec.databaseConfig, world)
  const database: Fields[] = [
    { name: 'POSTGRES_DB_PASSWORD', valueFrom: access.passwordRef },
    { name: 'POSTGRES_URI', valueFrom: fromSecret(name, 'uri') },
  ]
  const images = variables(IMAGES.map(([variable, key]) => [variable, spec.evaluationImages?.[key] ?? '']))
  const shared = variables([
    ['NAMESPACE', namespace],
    ['ARGO_HOST', spec.argoWorkflows?.endpoint ?? ''],
    ['EVAL_CONTAINER', image],
    ['DATA_STORE_URL', spec.datastore.endpoint],
  ])
  return {
    missing: access.missing,
    objects: access.url ? [urlSecret(name, 'uri', access.url)] : [],
    env: [
      ...shared,
      { name: 'HOST_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
      ...variables([
        ['EVALUATOR_HOST', '0.0.0.0'],
        ['EVALUATOR_PORT', '7331'],
        ['MILVUS_URL', spec.vectorDB?.endpoint ?? ''],
        ['SERVICE_ACCOUNT', spec.argoWorkflows?.serviceAccount ?? ''],
        ['ENTITY_STORE_URL', spec.entitystore.endpoint],
        ['LOG_HANDLERS', spec.logHandlers ?? 'console'],
        ['CONSOLE_LOG_LEVEL', spec.consoleLogLevel ?? 'INFO'],
        ['EVAL_LOG_LEVEL', spec.evalLogLevel ?? 'INFO'],
        ...(spec.enableValidation === false ? [] : [['EVAL_ENABLE_VALIDATION', 'True'] as [string, string]]),
      ]),
      ...database,
      ...images,
      ...otelEnv(spec.otel),
    ],
    rules: maker === 'nvidia' ? NVIDIA_RULES : podRules(spec),
    initContainers:
      maker === 'nvidia'
        ? [
            waitForPostgres(input, spec.databaseConfig),
            {
              name: 'evaluator-db-migration',
              image,
              command: ['sh', '-c', '/app/scripts/run-db-migration.sh'],
              env: mergeEnv(spec.env, [...shared, ...database, ...images]),
              resources: { limits: { cpu: '1', memory: '1Gi' } },
            },
          ]
        : [],
  }
}
