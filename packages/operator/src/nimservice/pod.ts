// SPDX-License-Identifier: Apache-2.0
import type { NimServiceSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import { contentHash } from '../framework/compare.ts'
import type { World } from '../framework/types.ts'
import { contents, defaultReferences, envReferences } from '../nemo-service/inputs.ts'
import { type ImageMaker, imageFrom, joinImage } from '../pod-basics/images.ts'
import { mergeEnv, network, placement } from '../pod-basics/placement.ts'
import { containerSecurity, podSecurity, requiredScc } from '../pod-basics/security.ts'
import { nimEnv, portOf } from './env.ts'
import { type ModelStorage, STORE } from './storage.ts'

type Fields = Record<string, unknown>

export interface PodInput {
  name: string
  spec: NimServiceSpec
  world: World
  storage: ModelStorage
  maker: ImageMaker
  image: string
}

/** What our engine needs for the reference model on a CPU. */
const RESOURCES = { requests: { cpu: '250m', memory: '768Mi' }, limits: { memory: '4Gi' } }

export const labelsOf = (name: string): Record<string, string> => ({
  app: name,
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/instance': name,
  'app.kubernetes.io/part-of': 'nim-service',
  'app.kubernetes.io/managed-by': 'open-nemo',
})

/** The pod of a NIM; `container` is its name, which KServe prescribes. */
export function podTemplate(input: PodInput, container: string): { metadata: Fields; spec: Fields } {
  const { name, spec, world, storage, maker, image } = input
  const outside = network(world.defaults, { proxy: spec.proxy, maker })
  const env = mergeEnv(spec.env, [...nimEnv(name, spec, { world, storage, maker }), ...outside.env])
  const mounts = [
    {
      name: 'model-store',
      mountPath: STORE,
      ...(storage.subPath ? { subPath: storage.subPath } : {}),
      ...readOnly(input),
    },
    { name: 'dshm', mountPath: '/dev/shm' },
    { name: 'tmp', mountPath: '/tmp' },
    ...(maker === 'ours'
      ? [
          { name: 'data', mountPath: '/data' },
          { name: 'cache', mountPath: '/cache' },
        ]
      : []),
    ...outside.volumeMounts,
  ]
  const inputs = contentHash(contents(world, [...envReferences(env), ...defaultReferences(world.defaults)]))
  const more = { env, mounts, maker, world }
  const runtimeClass = spec.runtimeClassName || spec.runtimeClass
  return {
    metadata: {
      labels: { ...spec.labels, ...labelsOf(name) },
      annotations: { ...spec.annotations, ...requiredScc(maker), 'open-nemo.io/inputs-hash': inputs },
    },
    spec: {
      serviceAccountName: name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(runtimeClass ? { runtimeClassName: runtimeClass } : {}),
      ...(spec.schedulerName ? { schedulerName: spec.schedulerName } : {}),
      ...(spec.priorityClassName ? { priorityClassName: spec.priorityClassName } : {}),
      securityContext: podSecurity(world.defaults, maker, spec),
      ...placement(world.defaults, { ...spec, pullSecrets: spec.image.pullSecrets }),
      ...(spec.initContainers?.length
        ? { initContainers: spec.initContainers.map((each) => beside(each, input, more)) }
        : {}),
      containers: [
        {
          name: container,
          image,
          ...(spec.image.pullPolicy ? { imagePullPolicy: spec.image.pullPolicy } : {}),
          ...(spec.command?.length ? { command: spec.command } : {}),
          ...argsOf(spec, maker),
          env,
          ports: portsOf(spec),
          resources: spec.resources ?? (maker === 'ours' ? RESOURCES : {}),
          securityContext: containerSecurity(maker),
          ...probes(spec, maker),
          volumeMounts: mounts,
        },
        ...(spec.sidecarContainers ?? []).map((each) => beside(each, input, more)),
      ],
      volumes: [
        { name: 'model-store', ...storage.volume },
        { name: 'dshm', emptyDir: { medium: 'Memory', ...sizeLimit(spec) } },
        { name: 'tmp', emptyDir: {} },
        ...(maker === 'ours'
          ? [
              { name: 'data', emptyDir: {} },
              { name: 'cache', emptyDir: {} },
            ]
          : []),
        ...outside.volumes,
      ],
    },
  }
}

/** Our engine only reads the store; other images may unpack there unless the resource says otherwise. */
function readOnly({ maker, spec, storage }: PodInput): Fields {
  const isVolume = 'persistentVolumeClaim' in storage.volume
  return spec.storage?.readOnly || (maker === 'ours' && isVolume) ? { readOnly: true } : {}
}

const sizeLimit = (spec: NimServiceSpec): Fields =>
  spec.storage?.sharedMemorySizeLimit ? { sizeLimit: spec.storage.sharedMemorySizeLimit } : {}

function argsOf(spec: NimServiceSpec, maker: ImageMaker): Fields {
  if (spec.args?.length) return { args: spec.args }
  return maker === 'ours' && !spec.command?.length ? { args: ['serve', 'inference'] } : {}
}

/** Ports by name, for container and Service alike. */
export function portsOf(spec: NimServiceSpec): { name: string; containerPort: number }[] {
  const { grpcPort, metricsPort } = spec.expose?.service ?? {}
  return [
    { name: 'api', containerPort: portOf(spec) },
    ...(grpcPort ? [{ name: 'grpc', containerPort: grpcPort }] : []),
    ...(metricsPort ? [{ name: 'metrics', containerPort: metricsPort }] : []),
  ]
}

/** A container that the resource puts beside the NIM: it gets the NIM's environment and the model. */
function beside(
  given: Fields,
  input: PodInput,
  { env, mounts, maker, world }: { env: Fields[]; mounts: Fields[]; maker: ImageMaker; world: World },
): Fields {
  const { image, ...rest } = given as {
    image?: { repository: string; tag: string; pullPolicy?: string } & Fields
  } & Fields
  const own = image?.repository ? imageFrom(world.defaults, joinImage(image)) : input.image
  return {
    ...rest,
    image: own,
    ...(image?.pullPolicy ? { imagePullPolicy: image.pullPolicy } : {}),
    env: mergeEnv(rest.env as Fields[] | undefined, env),
    securityContext: containerSecurity(maker === 'ours' ? 'other' : maker),
    volumeMounts: mounts,
  }
}

/** The contract's paths; what the resource gives replaces or switches off each. */
function probes(spec: NimServiceSpec, maker: ImageMaker): Fields {
  const get = (path: string) => ({ httpGet: { path, port: 'api' } })
  const ours = maker === 'ours'
  const standard: [string, unknown, Fields][] = [
    [
      'startupProbe',
      spec.startupProbe,
      {
        ...get('/v1/health/ready'),
        periodSeconds: ours ? 1 : 10,
        timeoutSeconds: 2,
        failureThreshold: ours ? 600 : 123,
      },
    ],
    [
      'livenessProbe',
      spec.livenessProbe,
      { ...get('/v1/health/live'), periodSeconds: 10, timeoutSeconds: 10, failureThreshold: 3 },
    ],
    [
      'readinessProbe',
      spec.readinessProbe,
      { ...get('/v1/health/ready'), periodSeconds: ours ? 3 : 10, timeoutSeconds: 5, failureThreshold: 3 },
    ],
  ]
  return Object.fromEntries(
    standard.flatMap(([name, given, probe]) => {
      const { enabled, probe: own } = (given ?? {}) as { enabled?: boolean; probe?: Fields }
      return enabled === false ? [] : [[name, own && Object.keys(own).length > 0 ? own : probe]]
    }),
  )
}
