// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, ObjectRef, World } from '../framework/types.ts'
import type { CommonSpec } from './types.ts'

const INGRESS = { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress' }
const HPA = { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' }
const HTTP_ROUTE = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute' }
const SERVICE_MONITOR = { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor' }

/** Kinds that are made only when asked for. */
export const EXPOSURE_KINDS = [
  INGRESS,
  HPA,
  { ...HTTP_ROUTE, optional: true },
  { ...SERVICE_MONITOR, optional: true },
]

export interface Exposure {
  apply: KubeObject[]
  remove: ObjectRef[]
  /** What was asked for and the cluster does not offer. */
  notes: string[]
}

interface About {
  name: string
  namespace: string
  labels: Record<string, string>
  selector: Record<string, string>
}

/** Ingress, HTTPRoute, HorizontalPodAutoscaler and ServiceMonitor: those switched on, and no others. */
export function exposure(spec: CommonSpec, about: About, world: World): Exposure {
  const out: Exposure = { apply: [], remove: [], notes: [] }
  const wanted: [
    typeof INGRESS,
    boolean,
    () => Record<string, unknown> & { annotations?: Record<string, string> },
  ][] = [
    [INGRESS, wantsIngress(spec), () => ingress(spec, about)],
    [HTTP_ROUTE, spec.expose?.router?.gateway?.httpRoutesEnabled === true, () => httpRoute(spec, about)],
    [HPA, spec.scale?.enabled === true, () => scaler(spec, about)],
    [SERVICE_MONITOR, spec.metrics?.enabled === true, () => monitor(spec, about)],
  ]
  for (const [kind, on, make] of wanted) {
    if (!on) {
      out.remove.push({ ...kind, name: about.name })
    } else if ([HTTP_ROUTE, SERVICE_MONITOR].includes(kind) && !world.served(kind.apiVersion, kind.kind)) {
      out.notes.push(
        `a ${kind.kind} is asked for, but the cluster does not serve ${kind.apiVersion} ${kind.kind}`,
      )
    } else {
      const { annotations, labels, ...rest } = make() as Record<string, unknown> & {
        annotations?: Record<string, string>
        labels?: Record<string, string>
      }
      out.apply.push({
        ...kind,
        metadata: {
          name: about.name,
          labels: { ...about.labels, ...labels },
          ...(annotations ? { annotations } : {}),
        },
        ...rest,
      })
    }
  }
  return out
}

const wantsIngress = ({ expose }: CommonSpec) =>
  expose?.ingress?.enabled === true || expose?.router?.ingress !== undefined

const host = (spec: CommonSpec, { name, namespace }: About) =>
  spec.expose?.router?.hostDomainName
    ? `${name}.${namespace}.${spec.expose.router.hostDomainName}`
    : undefined

function ingress(spec: CommonSpec, about: About) {
  const older = spec.expose?.ingress
  if (older?.enabled) return { annotations: older.annotations, spec: withBackend(older.spec ?? {}, about) }
  const router = spec.expose?.router
  const { ingressClass, tlsSecretName } = router?.ingress ?? {}
  const at = host(spec, about)
  return {
    annotations: router?.annotations,
    spec: withBackend(
      {
        ...(ingressClass ? { ingressClassName: ingressClass } : {}),
        ...(tlsSecretName ? { tls: [{ secretName: tlsSecretName, ...(at ? { hosts: [at] } : {}) }] } : {}),
        ...(at ? { rules: [{ host: at }] } : {}),
      },
      about,
    ),
  }
}

const backend = (name: string) => ({ service: { name, port: { name: 'api' } } })

/** Rules without a path, and an Ingress without rules, lead to the resource's Service. */
function withBackend(spec: Record<string, unknown>, { name }: About): Record<string, unknown> {
  const rules = spec.rules as Record<string, unknown>[] | undefined
  if (!rules?.length) return { defaultBackend: backend(name), ...spec }
  const path = { path: '/', pathType: 'Prefix', backend: backend(name) }
  return { ...spec, rules: rules.map((rule) => (rule.http ? rule : { ...rule, http: { paths: [path] } })) }
}

function httpRoute(spec: CommonSpec, about: About) {
  const router = spec.expose?.router
  const at = host(spec, about)
  const { name, namespace } = router?.gateway ?? {}
  return {
    annotations: router?.annotations,
    spec: {
      parentRefs: [{ name, ...(namespace ? { namespace } : {}) }],
      ...(at ? { hostnames: [at] } : {}),
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/' } }],
          backendRefs: [{ name: about.name, port: spec.expose?.service?.port ?? 8000 }],
        },
      ],
    },
  }
}

function scaler(spec: CommonSpec, { name }: About) {
  const { minReplicas = 1, maxReplicas, metrics, behavior } = spec.scale?.hpa ?? {}
  const cpu = {
    type: 'Resource',
    resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } },
  }
  return {
    annotations: spec.scale?.annotations,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
      minReplicas,
      maxReplicas: maxReplicas || Math.max(minReplicas, 3),
      metrics: metrics?.length ? metrics : [cpu],
      ...(behavior ? { behavior } : {}),
    },
  }
}

function monitor(spec: CommonSpec, about: About) {
  const { additionalLabels, annotations, interval, scrapeTimeout } = spec.metrics?.serviceMonitor ?? {}
  return {
    annotations,
    labels: additionalLabels,
    spec: {
      selector: { matchLabels: about.selector },
      endpoints: [
        {
          port: 'api',
          path: '/metrics',
          ...(interval ? { interval } : {}),
          ...(scrapeTimeout ? { scrapeTimeout } : {}),
        },
      ],
    },
  }
}
