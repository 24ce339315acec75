// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import {
  nemoCustomizerSpec,
  nemoDatastoreSpec,
  nemoEntitystoreSpec,
  nemoEvaluatorSpec,
  nemoGuardrailSpec,
} from './nemo-kinds.ts'
import { nimCacheSpec, nimPipelineSpec, nimServiceSpec } from './nim-kinds.ts'
import { conditions } from './parts.ts'
import { structuralSchema } from './structural.ts'
import { nemoTrainingJobSpec } from './training-job.ts'

export const APPS_GROUP = 'apps.nvidia.com'
export const TRAINING_GROUP = 'nvidia.com'
export const VERSION = 'v1alpha1'
export const APPS_API = `${APPS_GROUP}/${VERSION}`
export const TRAINING_API = `${TRAINING_GROUP}/${VERSION}`

/** Label of the CRDs that are ours; nobody else's are ever changed. */
export const PART_OF = { 'app.kubernetes.io/part-of': 'open-nemo' }

/**
 * Words in the description of each kind of ours. The API server publishes them in its OpenAPI document, which
 * every account may read: that is how an operator without cluster-wide rights sees whose CRD is installed.
 */
export const SCHEMA_MARK = 'Defined by Open NeMo.'

interface Column {
  name: string
  type: string
  jsonPath: string
}

export interface KindDefinition {
  group: string
  kind: string
  plural: string
  singular: string
  description: string
  spec: z.ZodType
  columns: Column[]
}

const READY_MESSAGE = '.status.conditions[?(@.type=="Ready")].message'
const state: Column = { name: 'Status', type: 'string', jsonPath: '.status.state' }
const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }
const message: Column = { name: 'Message', type: 'string', jsonPath: READY_MESSAGE }
const pvc: Column = { name: 'PVC', type: 'string', jsonPath: '.status.pvc' }

const kind = (name: string, spec: z.ZodType, description: string, columns = [state, age, message]) => ({
  group: APPS_GROUP,
  kind: name,
  plural: `${name.toLowerCase()}s`,
  singular: name.toLowerCase(),
  description: `${description} ${SCHEMA_MARK}`,
  spec,
  columns,
})

/** All kinds that the operators reconcile. */
export const KINDS: KindDefinition[] = [
  kind('NemoCustomizer', nemoCustomizerSpec, 'A Customizer: fine-tunes models.'),
  kind('NemoDatastore', nemoDatastoreSpec, 'A Data Store: keeps data sets and models.'),
  kind(
    'NemoEntitystore',
    nemoEntitystoreSpec,
    'An Entity Store: keeps what is known about models and data sets.',
  ),
  kind('NemoEvaluator', nemoEvaluatorSpec, 'An Evaluator: measures models.'),
  kind(
    'NemoGuardrail',
    nemoGuardrailSpec,
    'A Guardrails service: checks what goes into and comes out of models.',
  ),
  kind('NIMCache', nimCacheSpec, 'A model on a volume.', [state, pvc, age, message]),
  kind('NIMService', nimServiceSpec, 'A served model.'),
  kind('NIMPipeline', nimPipelineSpec, 'Several served models.'),
  {
    ...kind('NemoTrainingJob', nemoTrainingJobSpec, 'A training run of a Customizer.'),
    group: TRAINING_GROUP,
  },
]

/** The definition of a kind. Throws for a kind that is none of ours. */
export function kindDefinition(name: string): KindDefinition {
  const found = KINDS.find((k) => k.kind === name)
  if (!found) throw new Error(`no kind ${name}; there are ${KINDS.map((k) => k.kind).join(', ')}`)
  return found
}

const status = z.looseObject({
  state: z.string().optional(),
  observedGeneration: z.number().int().optional(),
  conditions: conditions.optional(),
})

/** The CustomResourceDefinition of a kind, complete and ready to be applied. */
export function customResourceDefinition(definition: KindDefinition): Record<string, unknown> {
  const { group, kind: name, plural, singular } = definition
  const spec = structuralSchema(definition.spec)
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: PART_OF },
    spec: {
      group,
      names: { kind: name, listKind: `${name}List`, plural, singular },
      scope: 'Namespaced',
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: definition.columns,
          schema: {
            openAPIV3Schema: {
              description: definition.description,
              type: 'object',
              // Where nothing in it is required, `spec:` alone is a manifest, and the API server drops the null.
              ...(spec.required ? { required: ['spec'] } : {}),
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec,
                status: structuralSchema(status),
              },
            },
          },
        },
      ],
    },
  }
}

/** The CustomResourceDefinitions of all kinds. */
export const customResourceDefinitions = () => KINDS.map(customResourceDefinition)
