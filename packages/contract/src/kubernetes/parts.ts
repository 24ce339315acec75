// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/** A DNS-1123 name, as Kubernetes names Secrets, ConfigMaps and claims. */
export const objectName = z.string().min(1).max(253)

/** A quantity such as `500m`, `2Gi` or `1`. */
export const quantity = z.union([z.number(), z.string()]).meta({ 'x-kubernetes-int-or-string': true })

/** Part of a Kubernetes object that is handed on as it is. */
export const opaque = z.looseObject({})

export const opaqueList = z.array(opaque)

export const stringMap = z.record(z.string(), z.string())

const httpUrl = z.string().regex(/^https?:\/\//)

export const endpoint = z.looseObject({ endpoint: httpUrl.max(2048) })

export const image = z.looseObject({
  repository: z.string().min(1).max(1024),
  tag: z.string().min(1).max(256),
  pullPolicy: z.enum(['', 'Always', 'IfNotPresent', 'Never']).optional(),
  pullSecrets: z.array(z.string()).optional(),
})

export const environment = z.array(
  z.looseObject({ name: z.string().min(1), value: z.string().optional(), valueFrom: opaque.optional() }),
)

export const resources = z.looseObject({
  limits: z.record(z.string(), quantity).optional(),
  requests: z.record(z.string(), quantity).optional(),
})

export const claim = z.looseObject({
  create: z.boolean().optional(),
  name: z.string().max(253).optional(),
  storageClass: z.string().optional(),
  size: z.string().max(64).optional(),
  volumeAccessMode: z
    .enum(['', 'ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'])
    .optional(),
  subPath: z.string().max(1024).optional(),
  annotations: stringMap.optional(),
})

export const database = z.looseObject({
  host: z.string().min(1).max(253),
  port: z.number().int().min(1).max(65535).default(5432),
  databaseName: z.string().min(1).max(63),
  credentials: z.looseObject({
    user: z.string().min(1).max(63),
    secretName: objectName,
    passwordKey: z.string().min(1).max(253).default('password'),
  }),
})

const portNumber = z.number().int().min(1).max(65535)

const ingressOptions = z.looseObject({
  enabled: z.boolean().optional(),
  annotations: stringMap.optional(),
  spec: opaque.optional(),
})

const router = z
  .looseObject({
    hostDomainName: z.string().max(253).optional(),
    annotations: stringMap.optional(),
    ingress: z
      .looseObject({ ingressClass: z.string().optional(), tlsSecretName: z.string().optional() })
      .optional(),
    gateway: z
      .looseObject({
        name: z.string().optional(),
        namespace: z.string().optional(),
        httpRoutesEnabled: z.boolean().optional(),
        grpcRoutesEnabled: z.boolean().optional(),
      })
      .optional(),
  })
  .meta({
    'x-kubernetes-validations': [
      { rule: '!(has(self.ingress) && has(self.gateway))', message: 'ingress and gateway are exclusive' },
    ],
  })

export const expose = z
  .looseObject({
    service: z
      .looseObject({
        type: z.enum(['', 'ClusterIP', 'NodePort', 'LoadBalancer']).optional(),
        name: z.string().optional(),
        port: portNumber.default(8000),
        grpcPort: portNumber.optional(),
        metricsPort: portNumber.optional(),
        annotations: stringMap.optional(),
      })
      .optional(),
    ingress: ingressOptions.optional(),
    router: router.optional(),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!(has(self.ingress) && has(self.ingress.enabled) && self.ingress.enabled && has(self.router) && has(self.router.ingress))',
        message: 'expose.ingress and expose.router.ingress are exclusive: leave out the older expose.ingress',
      },
    ],
  })

export const metrics = z.looseObject({
  enabled: z.boolean().optional(),
  serviceMonitor: z
    .looseObject({
      additionalLabels: stringMap.optional(),
      annotations: stringMap.optional(),
      interval: z.string().optional(),
      scrapeTimeout: z.string().optional(),
    })
    .optional(),
})

export const scale = z.looseObject({
  enabled: z.boolean().optional(),
  annotations: stringMap.optional(),
  hpa: z
    .looseObject({
      minReplicas: z.number().int().min(0).optional(),
      maxReplicas: z.number().int().min(0).optional(),
      metrics: opaqueList.optional(),
      behavior: opaque.optional(),
    })
    .optional(),
})

export const otel = z.looseObject({
  enabled: z.boolean().optional(),
  exporterOtlpEndpoint: z.string().max(2048).optional(),
  disableLogging: z.boolean().optional(),
  exporterConfig: z
    .looseObject({
      tracesExporter: z.string().optional(),
      metricsExporter: z.string().optional(),
      logsExporter: z.string().optional(),
    })
    .optional(),
  excludedUrls: z.array(z.string()).optional(),
  logLevel: z.string().optional(),
})

/** Fields that the pods of every kind share. No default for userID and groupID: on OpenShift the platform picks. */
export const podFields = {
  image,
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: environment.optional(),
  labels: stringMap.optional(),
  annotations: stringMap.optional(),
  nodeSelector: stringMap.optional(),
  tolerations: opaqueList.optional(),
  affinity: opaque.optional(),
  podAffinity: opaque.optional(),
  resources: resources.optional(),
  expose: expose.optional(),
  metrics: metrics.optional(),
  scale: scale.optional(),
  replicas: z.number().int().min(0).optional(),
  userID: z.number().int().min(0).optional(),
  groupID: z.number().int().min(0).optional(),
  runtimeClass: z.string().optional(),
}

/** The rule that replicas and a scaler do not both set the number of pods. */
export const replicasRule = {
  rule: '!(has(self.replicas) && has(self.scale) && has(self.scale.enabled) && self.scale.enabled)',
  message: 'replicas cannot be set while scale.enabled is true: the scaler sets the number of pods',
}

const condition = z.looseObject({
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().optional(),
  message: z.string().optional(),
  lastTransitionTime: z.string().optional(),
  observedGeneration: z.number().int().optional(),
})

export const conditions = z.array(condition).meta({
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
})

/** What a condition looks like in a resource's status. */
export type Condition = z.infer<typeof condition>
