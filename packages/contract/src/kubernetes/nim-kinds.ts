// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import {
  claim,
  environment,
  objectName,
  opaque,
  opaqueList,
  podFields,
  quantity,
  stringMap,
} from './parts.ts'

const hubSource = z
  .looseObject({
    endpoint: z
      .string()
      .max(2048)
      .regex(/^https?:\/\//),
    namespace: z.string().min(1).max(255).default('default'),
    authSecret: z.string().max(253).optional(),
    modelPuller: z.string().max(1024).optional(),
    pullSecret: z.string().max(253).optional(),
    modelName: z.string().min(1).max(255).optional(),
    datasetName: z.string().min(1).max(255).optional(),
    revision: z.string().max(255).optional(),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.modelName) != has(self.datasetName)',
        message: 'exactly one of modelName and datasetName',
      },
    ],
  })

const ngcSource = z.looseObject({
  authSecret: z.string().max(253).optional(),
  modelPuller: z.string().max(1024),
  pullSecret: z.string().max(253).optional(),
  model: opaque.optional(),
  modelEndpoint: z.string().max(2048).optional(),
})

export const nimCacheSpec = z.looseObject({
  source: z
    .looseObject({
      ngc: ngcSource.optional(),
      hf: hubSource.optional(),
      dataStore: hubSource.optional(),
      /** A model that lies on another volume; NVIDIA's operator does not know this source. */
      pvc: z
        .looseObject({
          claimName: objectName,
          subPath: z.string().max(1024).optional(),
          /** Name that the model is served by; `default/<cache>` unless given. */
          model: z.string().max(255).optional(),
        })
        .optional(),
    })
    .meta({
      'x-kubernetes-validations': [
        {
          rule: '(has(self.ngc) ? 1 : 0) + (has(self.hf) ? 1 : 0) + (has(self.dataStore) ? 1 : 0) + (has(self.pvc) ? 1 : 0) == 1',
          message: 'exactly one of ngc, hf, dataStore and pvc',
        },
      ],
    }),
  storage: z.looseObject({ pvc: claim.optional(), hostPath: z.string().max(4096).optional() }),
  resources: z.looseObject({ cpu: quantity.optional(), memory: quantity.optional() }).optional(),
  env: environment.optional(),
  nodeSelector: stringMap.optional(),
  tolerations: opaqueList.optional(),
  affinity: opaque.optional(),
  userID: z.number().int().min(0).optional(),
  groupID: z.number().int().min(0).optional(),
  runtimeClassName: z.string().optional(),
  certConfig: opaque.optional(),
  proxy: opaque.optional(),
})

/**
 * The spec of a NIMService; a NIMPipeline holds the same for each of its services. `replicas` beside a scaler is no
 * error here as it is of the other kinds: NVIDIA's own samples have both.
 */
export const nimServiceSpec = z.looseObject({
  ...podFields,
  authSecret: z.string().max(253).optional(),
  storage: z
    .looseObject({
      nimCache: z
        .looseObject({ name: z.string().max(253).optional(), profile: z.string().optional() })
        .optional(),
      pvc: claim.optional(),
      hostPath: z.string().max(4096).optional(),
      emptyDir: z.looseObject({ sizeLimit: quantity.optional() }).optional(),
      sharedMemorySizeLimit: quantity.optional(),
      readOnly: z.boolean().optional(),
    })
    .optional(),
  livenessProbe: opaque.optional(),
  readinessProbe: opaque.optional(),
  startupProbe: opaque.optional(),
  draResources: opaqueList.optional(),
  initContainers: opaqueList.optional(),
  sidecarContainers: opaqueList.optional(),
  inferencePlatform: z.enum(['standalone', 'kserve']).default('standalone'),
  multiNode: opaque.optional(),
  proxy: opaque.optional(),
  schedulerName: z.string().optional(),
  priorityClassName: z.string().max(253).optional(),
  runtimeClassName: z.string().optional(),
})

export const nimPipelineSpec = z.looseObject({
  services: z
    .array(
      z.looseObject({
        name: objectName,
        enabled: z.boolean().default(true),
        spec: nimServiceSpec,
        dependencies: z
          .array(
            z.looseObject({
              name: z.string().max(253),
              port: z.number().int().optional(),
              envName: z.string().optional(),
              envValue: z.string().optional(),
            }),
          )
          .optional(),
      }),
    )
    // Bounded so that the rules inside stay within the API server's cost limit.
    .max(64)
    .optional(),
})

export type NimCacheSpec = z.output<typeof nimCacheSpec>
export type NimServiceSpec = z.output<typeof nimServiceSpec>
export type NimPipelineSpec = z.output<typeof nimPipelineSpec>
