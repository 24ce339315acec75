// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { environment, opaque, opaqueList, quantity, resources, stringMap } from './parts.ts'

/** A training run that the Customizer asks for. The pod fetches its work from `callbackURL`, and reports there. */
export const nemoTrainingJobSpec = z.looseObject({
  /** Id of the Customizer's job. */
  jobId: z.string().min(1).max(253),
  /** Base URL of the Customizer's internal port. */
  callbackURL: z
    .string()
    .max(2048)
    .regex(/^https?:\/\//),
  /** Raised to run the job once more, in the same workspace. */
  attempt: z.number().int().min(1).default(1),
  /** Ends the pod; the state becomes Cancelled. */
  cancel: z.boolean().optional(),
  /** Ends the pod without ending the job: it goes on from its checkpoint when this is false again. */
  suspend: z.boolean().optional(),
  image: z.string().max(1024).optional(),
  imagePullPolicy: z.enum(['', 'Always', 'IfNotPresent', 'Never']).optional(),
  imagePullSecrets: z.array(z.looseObject({ name: z.string().max(253) })).optional(),
  serviceAccountName: z.string().max(253).optional(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: environment.optional(),
  resources: resources.optional(),
  /** Holds the checkpoints: an existing claim, or one that is made and goes with the job. */
  workspace: z
    .looseObject({
      claimName: z.string().max(253).optional(),
      storageClass: z.string().max(253).optional(),
      accessMode: z.enum(['', 'ReadWriteOnce', 'ReadWriteMany', 'ReadWriteOncePod']).optional(),
      size: z.string().max(64).optional(),
      mountPath: z.string().max(1024).optional(),
    })
    .optional(),
  volumes: opaqueList.optional(),
  volumeMounts: opaqueList.optional(),
  sharedMemorySizeLimit: quantity.optional(),
  scheduler: z
    .looseObject({
      type: z.enum(['job', 'volcano', 'runai']).default('job'),
      queue: z.string().max(253).optional(),
      priorityClassName: z.string().max(253).optional(),
    })
    .optional(),
  /** How often a pod that was killed is replaced. */
  backoffLimit: z.number().int().min(0).max(100).default(6),
  activeDeadlineSeconds: z.number().int().min(1).optional(),
  ttlSecondsAfterFinished: z.number().int().min(0).optional(),
  labels: stringMap.optional(),
  annotations: stringMap.optional(),
  nodeSelector: stringMap.optional(),
  tolerations: opaqueList.optional(),
  affinity: opaque.optional(),
})

export type NemoTrainingJobSpec = z.output<typeof nemoTrainingJobSpec>
