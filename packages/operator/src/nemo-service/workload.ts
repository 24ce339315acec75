// SPDX-License-Identifier: Apache-2.0
import { contentHash } from '../framework/compare.ts'
import type { KubeObject } from '../framework/types.ts'
import { imageFrom } from '../pod-basics/images.ts'
import { mergeEnv, network, placement, variables } from '../pod-basics/placement.ts'
import { containerSecurity, podSecurity, requiredScc } from '../pod-basics/security.ts'
import { contents, defaultReferences, envReferences } from './inputs.ts'
import type { Build, BuildInput, CommonSpec, Fields, NemoKind } from './types.ts'

const RBAC = 'rbac.authorization.k8s.io'
const INPUTS_ANNOTATION = 'open-nemo.io/inputs-hash'
const DEFAULT_RESOURCES = {
  requests: { cpu: '50m', memory: '256Mi' },
  limits: { cpu: '2', memory: '2Gi' },
}

export const OWNED_KINDS = [
  { apiVersion: 'v1', kind: 'ServiceAccount' },
  { apiVersion: `${RBAC}/v1`, kind: 'Role' },
  { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding' },
  { apiVersion: 'v1', kind: 'Service' },
  { apiVersion: 'apps/v1', kind: 'Deployment' },
]

type Input = BuildInput<CommonSpec>

/** Labels of a resource's objects. */
export const labelsOf = ({ kind }: { kind: string }, name: string): Record<string, string> => ({
  app: name,
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/instance': name,
  'app.kubernetes.io/part-of': `nemo-${kind.replace('Nemo', '').toLowerCase()}-service`,
  'app.kubernetes.io/managed-by': 'open-nemo',
})

/** Labels by which the Service finds the pods, as NVIDIA's operator has them for each kind. */
export const selectorOf = ({ selector }: Pick<NemoKind<never>, 'selector'>, name: string) =>
  Object.fromEntries(selector.map((key) => [key === 'app' ? 'app' : `app.kubernetes.io/${key}`, name]))

/** ServiceAccount, Service and, where the pod needs rights, a Role and its binding. */
export function accessObjects(kind: NemoKind<never>, input: Input, build: Build): KubeObject[] {
  const { name, spec, maker, world } = input
  const labels = labelsOf(kind, name)
  const service = spec.expose?.service
  const rules = [...(build.rules ?? [])]
  if (maker === 'nvidia' && world.defaults.podSecurity === 'openshift')
    rules.push({
      apiGroups: ['security.openshift.io'],
      resources: ['securitycontextconstraints'],
      resourceNames: ['nonroot'],
      verbs: ['use'],
    })
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, labels },
      automountServiceAccountToken: false,
    },
    ...(rules.length > 0 ? roleObjects(name, labels, rules) : []),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, labels, ...(service?.annotations ? { annotations: service.annotations } : {}) },
      spec: {
        type: service?.type || 'ClusterIP',
        selector: selectorOf(kind, name),
        ports: [
          {
            name: 'api',
            port: service?.port ?? 8000,
            targetPort: 'api',
            protocol: 'TCP',
            appProtocol: 'http',
          },
          ...(build.extraPorts ?? []).map(({ name: port, port: number }) => ({
            name: port,
            port: number,
            targetPort: port,
            protocol: 'TCP',
            appProtocol: 'http',
          })),
        ],
      },
    },
  ]
}

const roleObjects = (name: string, labels: Record<string, string>, rules: Fields[]): KubeObject[] => [
  { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata: { name, labels }, rules },
  {
    apiVersion: `${RBAC}/v1`,
    kind: 'RoleBinding',
    metadata: { name, labels },
    roleRef: { apiGroup: RBAC, kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name }],
  },
]

/** The Deployment; its pod template carries a hash of all Secrets and ConfigMaps that the pod reads. */
export function deployment(kind: NemoKind<never>, input: Input, build: Build): KubeObject {
  const { name, spec, world, maker } = input
  const labels = labelsOf(kind, name)
  const ours = maker === 'ours'
  const outside = network(world.defaults, { maker })
  const env = mergeEnv(spec.env, [...build.env, ...(ours ? ourEnv(kind, input) : []), ...outside.env])
  const refs = [
    ...envReferences([...env, ...(build.initContainers ?? []).flatMap((c) => (c.env as Fields[]) ?? [])]),
    ...kind.references(spec as never, name),
    ...defaultReferences(world.defaults),
  ]
  // Objects made for this resource count as they are to be, since at first they are not there yet.
  const made = (build.objects ?? []).filter((o) => o.kind === 'Secret' || o.kind === 'ConfigMap')
  const others = refs.filter((ref) => !made.some((o) => o.kind === ref.kind && o.metadata.name === ref.name))
  const inputs = contentHash([contents(world, others), made.map((o) => o.data)])
  const scratch = ours ? ourScratch(build) : { volumes: [], mounts: [] }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      ...(spec.scale?.enabled ? {} : { replicas: spec.replicas ?? 1 }),
      // The old pod goes first: volumes may be for one node at a time.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      selector: { matchLabels: { app: name } },
      template: {
        metadata: {
          labels: { ...spec.labels, ...labels },
          annotations: { ...spec.annotations, ...requiredScc(maker), [INPUTS_ANNOTATION]: inputs },
        },
        spec: {
          serviceAccountName: name,
          automountServiceAccountToken: (build.rules?.length ?? 0) > 0,
          // Service variables of other pods' Services only get in the way of settings.
          enableServiceLinks: false,
          ...(spec.runtimeClass ? { runtimeClassName: spec.runtimeClass } : {}),
          securityContext: securityOf(kind, input),
          ...placement(world.defaults, { ...spec, pullSecrets: spec.image.pullSecrets }),
          ...(build.initContainers?.length
            ? {
                initContainers: build.initContainers.map((c) => ({
                  securityContext: containerSecurity(maker),
                  ...c,
                })),
              }
            : {}),
          containers: [
            {
              name: `${name}-ctr`,
              image: input.image,
              ...(spec.image.pullPolicy ? { imagePullPolicy: spec.image.pullPolicy } : {}),
              ...(spec.command?.length ? { command: spec.command } : {}),
              ...argsOf(kind, spec, ours),
              env,
              ports: [{ name: 'api', containerPort: kind.port }, ...containerPorts(build)],
              resources: spec.resources ?? DEFAULT_RESOURCES,
              securityContext: containerSecurity(maker),
              ...probes(kind, ours),
              volumeMounts: [...(build.mounts ?? []), ...scratch.mounts, ...outside.volumeMounts],
            },
          ],
          volumes: [...(build.volumes ?? []), ...scratch.volumes, ...outside.volumes],
        },
      },
    },
  }
}

/** As everywhere, but the group of NVIDIA's data store alone is set: its image names its user. */
function securityOf(kind: NemoKind<never>, { spec, maker, world }: Input): Fields {
  if (kind.kind === 'NemoDatastore' && maker === 'nvidia')
    return {
      fsGroup: spec.groupID ?? 1000,
      ...(spec.userID === undefined ? {} : { runAsUser: spec.userID }),
    }
  const security = podSecurity(world.defaults, maker, spec)
  if (world.defaults.podSecurity !== 'openshift' || maker === 'nvidia') return security
  // Only what the resource itself demands; without that the platform picks from the namespace's range.
  return {
    ...security,
    ...(spec.userID === undefined ? {} : { runAsUser: spec.userID }),
    ...(spec.groupID === undefined ? {} : { runAsGroup: spec.groupID, fsGroup: spec.groupID }),
  }
}

function argsOf(kind: NemoKind<never>, spec: CommonSpec, ours: boolean): Fields {
  if (spec.args?.length) return { args: spec.args }
  return ours && !spec.command?.length ? { args: ['serve', kind.service] } : {}
}

const containerPorts = (build: Build) =>
  (build.extraPorts ?? []).map(({ name, port }) => ({ name, containerPort: port }))

/** What our image reads beside the contract's variables. */
function ourEnv(kind: NemoKind<never>, { name, namespace, world, spec }: Input): Fields[] {
  const port = spec.expose?.service?.port ?? 8000
  return [
    ...variables([
      ['NEMO_HOST', '0.0.0.0'],
      ['PORT', String(kind.port)],
      ['NEMO_HOME', '/data'],
      ['NEMO_CACHE', '/cache'],
      ['HOME', '/tmp'],
      ['NEMO_PUBLIC_URL', `http://${name}.${namespace}.svc.cluster.local:${port}`],
    ]),
    {
      name: 'NEMO_INTERNAL_TOKEN',
      valueFrom: { secretKeyRef: { name: world.defaults.internalTokenSecret, key: 'token', optional: true } },
    },
  ]
}

/** Writable places of a container whose root file system is read-only; a builder's own volume comes first. */
function ourScratch(build: Build): { volumes: Fields[]; mounts: Fields[] } {
  const taken = new Set((build.mounts ?? []).map((m) => m.mountPath))
  const places = ['tmp', 'cache', 'data'].filter((place) => !taken.has(`/${place}`))
  return {
    volumes: places.map((name) => ({ name, emptyDir: {} })),
    mounts: places.map((name) => ({ name, mountPath: `/${name}` })),
  }
}

/** The contract's paths with our own times: ours answer within seconds, others get as long as they used to. */
function probes({ probes: { startup, live, ready } }: NemoKind<never>, ours: boolean): Fields {
  const get = (path: string) => ({ httpGet: { path, port: 'api' } })
  return {
    startupProbe: {
      ...get(startup),
      periodSeconds: 1,
      timeoutSeconds: 2,
      failureThreshold: ours ? 180 : 330,
    },
    livenessProbe: { ...get(live), periodSeconds: 10, timeoutSeconds: 10, failureThreshold: 5 },
    readinessProbe: { ...get(ready), periodSeconds: ours ? 3 : 10, timeoutSeconds: 5, failureThreshold: 3 },
  }
}

const BUSYBOX = 'docker.io/library/busybox:1.37'

/** Waits until the database accepts connections, as NVIDIA's images expect before their migration. */
export function waitForPostgres(
  { world }: Pick<Input, 'world'>,
  { host, port }: { host: string; port: number },
): Fields {
  return {
    name: 'wait-for-postgres',
    image: imageFrom(world.defaults, BUSYBOX),
    command: ['sh', '-c', `until nc -z ${host} ${port}; do echo waiting for ${host}:${port}; sleep 2; done`],
  }
}
