// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const text = z.string().min(1)

const toleration = z
  .object({
    key: z.string().optional(),
    operator: z.enum(['Equal', 'Exists']).optional(),
    value: z.string().optional(),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
    tolerationSeconds: z.number().int().optional(),
  })
  .strict()

/**
 * What every pod that an operator makes at run time inherits: the key `defaults.yaml` of the ConfigMap that
 * deploy/nemo-instances writes. A resource's own fields come before these.
 */
export const operatorDefaults = z
  .object({
    /** `openshift` sets no UID and no fsGroup (its admission does); `kubernetes` sets the two below. */
    podSecurity: z.enum(['openshift', 'kubernetes']).default('kubernetes'),
    runAsUser: z.number().int().min(1).default(1000),
    fsGroup: z.number().int().min(1).default(1000),
    /** Replaces the registry host of every image; the path is kept. */
    imageRegistry: z.string().default(''),
    imagePullSecrets: z.array(text).default([]),
    scheduling: z
      .object({
        nodeSelector: z.record(z.string(), z.string()).default({}),
        tolerations: z.array(toleration).default([]),
        affinity: z.record(z.string(), z.unknown()).default({}),
      })
      .strict()
      .prefault({}),
    /** A ConfigMap with a PEM bundle that is trusted beside the system's. */
    customCA: z
      .object({ configMap: z.string().default(''), key: text.default('ca-bundle.crt') })
      .strict()
      .prefault({}),
    proxy: z
      .object({
        http: z.string().default(''),
        https: z.string().default(''),
        noProxy: z.string().default(''),
      })
      .strict()
      .prefault({}),
    images: z
      .object({
        services: text.default('localhost/open-nemo/services:0.1.0'),
        trainer: text.default('localhost/open-nemo/trainer:0.1.0'),
      })
      .strict()
      .prefault({}),
    /** Secret (key `token`) whose value the services of one installation share. */
    internalTokenSecret: text.default('nemo-internal-token'),
    volcanoQueue: text.default('default'),
  })
  .strict()

export type OperatorDefaults = z.output<typeof operatorDefaults>
