// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import {
  claim,
  database,
  endpoint,
  environment,
  image,
  objectName,
  opaque,
  opaqueList,
  otel,
  podFields,
  replicasRule,
  resources,
  stringMap,
} from './parts.ts'

const rules = { 'x-kubernetes-validations': [replicasRule] }

const secretKey = z.looseObject({ name: z.string().max(253), key: z.string().max(253).optional() })

const trainingImage = image.extend({
  repository: z.string().max(1024).optional(),
  tag: z.string().max(256).optional(),
})

export const nemoCustomizerSpec = z
  .looseObject({
    ...podFields,
    databaseConfig: database,
    datastore: endpoint.optional(),
    entitystore: endpoint.optional(),
    mlflow: endpoint.optional(),
    /** Required by NVIDIA's operator even where unused; optional here. */
    wandb: z
      .looseObject({
        secretName: z.string().max(253).optional(),
        apiKeyKey: z.string().max(253).default('apiKey'),
        encryptionKey: z.string().max(253).default('encryptionKey'),
        entity: z.string().optional(),
        projectName: z.string().optional(),
      })
      .optional(),
    otel: otel.optional(),
    scheduler: z
      .looseObject({
        type: z.enum(['volcano', 'runai', 'job']).default('volcano'),
        queue: z.string().max(253).optional(),
      })
      .optional(),
    modelConfig: z.looseObject({ name: objectName }).optional(),
    nemoDatastoreTools: z.looseObject({ image: z.string() }).optional(),
    modelDownloadJobs: z
      .looseObject({
        image: z.string().optional(),
        imagePullPolicy: z.string().optional(),
        ngcAPISecret: secretKey.optional(),
        hfSecret: secretKey.optional(),
        securityContext: opaque.optional(),
        ttlSecondsAfterFinished: z.number().int().min(0).optional(),
        pollIntervalSeconds: z.number().int().min(1).optional(),
      })
      .optional(),
    trainingConfig: z
      .looseObject({
        configMap: z.looseObject({ name: z.string().max(253) }).optional(),
        image: trainingImage.optional(),
        env: environment.optional(),
        modelPVC: claim.optional(),
        workspacePVC: claim.extend({ mountPath: z.string().max(1024).optional() }).optional(),
        networkConfig: opaqueList.optional(),
        ttlSecondsAfterFinished: z.number().int().min(0).optional(),
        timeout: z.number().int().min(0).optional(),
        sharedMemorySizeLimit: z
          .union([z.number(), z.string()])
          .meta({ 'x-kubernetes-int-or-string': true })
          .optional(),
        tolerations: opaqueList.optional(),
        nodeSelector: stringMap.optional(),
        affinity: opaque.optional(),
        podAffinity: opaque.optional(),
        resources: resources.optional(),
      })
      .optional(),
  })
  .meta(rules)

export const nemoDatastoreSpec = z
  .looseObject({
    ...podFields,
    databaseConfig: database,
    /** Scripts of NVIDIA's image; ours needs none of them. */
    secrets: z
      .looseObject({
        datastoreConfigSecret: z.string().max(253).optional(),
        datastoreInitSecret: z.string().max(253).optional(),
        datastoreInlineConfigSecret: z.string().max(253).optional(),
        giteaAdminSecret: z.string().max(253).optional(),
        lfsJwtSecret: z.string().max(253).optional(),
      })
      .optional(),
    objectStoreConfig: z
      .looseObject({
        credentials: z.looseObject({
          user: z.string().min(1),
          secretName: objectName,
          passwordKey: z.string().min(1).max(253).default('password'),
        }),
        endpoint: z.string().min(1).max(2048),
        bucketName: z.string().min(1).max(63),
        region: z.string().min(1).max(63),
        ssl: z.boolean(),
        serveDirect: z.boolean().default(true),
      })
      .optional(),
    pvc: claim.optional(),
  })
  .meta(rules)

export const nemoEntitystoreSpec = z
  .looseObject({ ...podFields, databaseConfig: database, datastore: endpoint.optional() })
  .meta(rules)

const level = z.enum(['INFO', 'DEBUG'])

export const nemoEvaluatorSpec = z
  .looseObject({
    ...podFields,
    databaseConfig: database,
    argoWorkflows: z
      .looseObject({ endpoint: z.string().max(2048), serviceAccount: z.string().max(253) })
      .optional(),
    vectorDB: z.looseObject({ endpoint: z.string().max(2048) }).optional(),
    datastore: endpoint,
    entitystore: endpoint,
    evaluationImages: stringMap.optional(),
    otel: otel.optional(),
    logHandlers: z.enum(['console', 'file']).optional(),
    consoleLogLevel: level.optional(),
    evalLogLevel: level.optional(),
    enableValidation: z.boolean().optional(),
  })
  .meta(rules)

export const nemoGuardrailSpec = z
  .looseObject({
    ...podFields,
    databaseConfig: database.optional(),
    configStore: z
      .looseObject({
        configMap: z.looseObject({ name: z.string().max(253) }).optional(),
        pvc: claim.optional(),
      })
      .optional(),
    nimEndpoint: z
      .looseObject({
        baseURL: z
          .string()
          .max(2048)
          .regex(/^https?:\/\/.*\/v1\/?$/),
        apiKeySecret: z.string().max(253).optional(),
        apiKeyKey: z.string().max(253).optional(),
      })
      .optional(),
    otel: otel.optional(),
  })
  .meta(rules)

export type NemoCustomizerSpec = z.output<typeof nemoCustomizerSpec>
export type NemoDatastoreSpec = z.output<typeof nemoDatastoreSpec>
export type NemoEntitystoreSpec = z.output<typeof nemoEntitystoreSpec>
export type NemoEvaluatorSpec = z.output<typeof nemoEvaluatorSpec>
export type NemoGuardrailSpec = z.output<typeof nemoGuardrailSpec>
