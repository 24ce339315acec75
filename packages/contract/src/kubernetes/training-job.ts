// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { environment, opaque, opaqueList, quantity, resources, stringMap } from './parts.ts'

/** A training run that the Customizer asks for. The pod fetches its work from `callbackURL`. */
export const nemoTrainingJobSpec = z.looseObject({
  /** Id of the Customizer's job. */
  jobId: z.string().min(1).max(253).optional(),
  /** Base URL under which the pod finds job.json and its inputs, and reports. */
  callbackURL: z.string().max(2048).optional(),
  image: z.string().max(1024).optional(),
  imagePullPolicy: z.enum(['', 'Always', 'IfNotPresent', 'Never']).optional(),
  imagePullSecrets: z.array(z.string()).optional(),
  serviceAccountName: z.string().max(253).optional(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: environment.optional(),
  resources: resources.optional(),
  nodes: z.number().int().min(1).max(1024).optional(),
  workspace: z
    .looseObject({
      claimName: z.string().max(253).optional(),
      mountPath: z.string().max(1024).optional(),
      subPath: z.string().max(1024).optional(),
    })
    .optional(),
  sharedMemorySizeLimit: quantity.optional(),
  scheduler: z
    .looseObject({
      type: z.enum(['job', 'volcano', 'runai']).default('job'),
      queue: z.string().max(253).optional(),
      priorityClassName: z.string().max(253).optional(),
    })
    .optional(),
  /** Ends the pod; the job's state becomes Cancelled. */
  cancel: z.boolean().optional(),
  suspend: z.boolean().optional(),
  timeoutSeconds: z.number().int().min(1).optional(),
  retries: z.number().int().min(0).max(100).optional(),
  ttlSecondsAfterFinished: z.number().int().min(0).optional(),
  labels: stringMap.optional(),
  annotations: stringMap.optional(),
  nodeSelector: stringMap.optional(),
  tolerations: opaqueList.optional(),
  affinity: opaque.optional(),
})

export type NemoTrainingJobSpec = z.output<typeof nemoTrainingJobSpec>
