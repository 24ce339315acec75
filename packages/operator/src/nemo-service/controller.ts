// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import type { Controller, KubeObject, Plan, World } from '../framework/types.ts'
import { imageFrom, joinImage, makerOf } from '../pod-basics/images.ts'
import { EXPOSURE_KINDS, exposure } from './exposure.ts'
import { envReferences } from './inputs.ts'
import { commonPaths, notActedOn } from './not-acted-on.ts'
import { type Readiness, readiness, statusFrom } from './readiness.ts'
import type { Build, BuildInput, CommonSpec, Fields, NemoKind } from './types.ts'
import { accessObjects, deployment, labelsOf, OWNED_KINDS, selectorOf } from './workload.ts'

const NOTES_SHOWN = 20

/** The controller of a kind of NeMo service. */
export function nemoController<S extends CommonSpec>(kind: NemoKind<S>): Controller {
  return {
    apiVersion: APPS_API,
    kind: kind.kind,
    plural: kind.plural,
    owns: [
      ...OWNED_KINDS,
      ...EXPOSURE_KINDS,
      { apiVersion: 'v1', kind: 'ConfigMap' },
      { apiVersion: 'v1', kind: 'Secret' },
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
      { apiVersion: 'v1', kind: 'Pod', labelSelector: 'app.kubernetes.io/managed-by=open-nemo' },
    ],
    references(resource) {
      const parsed = kind.schema.safeParse(resource.spec)
      if (!parsed.success) return []
      const refs = kind.references(parsed.data, resource.metadata.name)
      return [...refs, ...envReferences(parsed.data.env)]
    },
    // Why a Deployment is not available, its pods say best.
    concerns: ({ kind: changed, metadata }) =>
      changed === 'Pod' && metadata.labels?.app ? [metadata.labels.app] : [],
    plan: (resource, world) => plan(kind, resource, world),
  }
}

function plan<S extends CommonSpec>(kind: NemoKind<S>, resource: KubeObject, world: World): Plan {
  const parsed = kind.schema.safeParse(resource.spec)
  if (!parsed.success) {
    const said = parsed.error.issues.map((i) => `spec.${i.path.join('.')}: ${i.message}`).join('; ')
    const failed: Readiness = { state: 'Failed', reason: 'InvalidSpec', message: said, availableReplicas: 0 }
    return { apply: [], ...statusFrom(failed, { notes: [], foreignImage: undefined }) }
  }
  const input = inputOf(resource, parsed.data, world)
  const build = kind.build(input)
  const { name, spec, namespace } = input
  const common = kind as NemoKind<never>
  const outward = exposure(
    spec,
    { name, namespace, labels: labelsOf(kind, name), selector: selectorOf(kind, name) },
    world,
  )
  const missing = build.missing ?? []
  const found: Readiness =
    missing.length > 0
      ? { state: 'NotReady', reason: 'DependencyMissing', message: missing.join('; '), availableReplicas: 0 }
      : readiness(name, world)
  const { status, events } = statusFrom(found, {
    notes: notesOf(kind, resource, build, outward.notes, input),
    foreignImage: foreignImage(input),
  })
  return {
    apply: [
      ...accessObjects(common, input, build),
      ...(build.objects ?? []).map((o) => labelled(o, labelsOf(kind, name))),
      ...(missing.length > 0 ? [] : [deployment(common, input, build), ...outward.apply]),
    ],
    remove: outward.remove,
    status,
    events,
  }
}

function inputOf<S extends CommonSpec>(resource: KubeObject, spec: S, world: World): BuildInput<S> {
  const named = joinImage(spec.image)
  return {
    name: resource.metadata.name,
    namespace: resource.metadata.namespace ?? world.namespace,
    resource,
    spec,
    world,
    maker: makerOf(named),
    image: imageFrom(world.defaults, named),
  }
}

function notesOf<S extends CommonSpec>(
  kind: NemoKind<S>,
  resource: KubeObject,
  build: Build,
  more: string[],
  { maker, spec }: BuildInput<S>,
): string[] {
  const paths = notActedOn(resource.spec, [...commonPaths(spec), 'userID', 'groupID', ...kind.acted])
  const shown = paths.slice(0, NOTES_SHOWN)
  const rest = paths.length - shown.length
  const fields =
    paths.length > 0
      ? [
          `kept and without effect: ${shown.map((p) => `spec.${p}`).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`,
        ]
      : []
  return [...fields, ...(maker === 'ours' ? (build.notes ?? []) : []), ...more]
}

function foreignImage<S extends CommonSpec>({ maker, image, world }: BuildInput<S>): string | undefined {
  if (maker === 'ours') return undefined
  if (maker === 'other')
    return `${image} is neither ours nor NVIDIA's: it runs under restricted-v2 with its own entrypoint`
  const bound =
    world.defaults.podSecurity === 'openshift'
      ? ' under the SCC nonroot, to which its ServiceAccount is bound'
      : ''
  return (
    `${image} is NVIDIA's: it runs with its migrations, user 1000 and a writable root file system${bound}. ` +
    'Name our image in spec.image to run restricted'
  )
}

function labelled(object: KubeObject, labels: Record<string, string>): KubeObject {
  const metadata: Fields = { ...object.metadata, labels: { ...labels, ...object.metadata.labels } }
  return { ...object, metadata: metadata as unknown as KubeObject['metadata'] }
}
