// SPDX-License-Identifier: Apache-2.0
import type { Fields } from '../nemo-service/types.ts'
import type { ImageMaker } from '../pod-basics/images.ts'

const ALL = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']
const SOME = ['create', 'delete', 'get', 'list', 'watch']
const READ = ['get', 'list', 'watch']

/** Rights of a Customizer's ServiceAccount: those of the contract. It may mount Secrets, and not read them. */
export function customizerRules(scheduler: string | undefined, maker: ImageMaker): Fields[] {
  return [
    { apiGroups: ['batch'], resources: ['jobs', 'jobs/status'], verbs: ALL },
    { apiGroups: [''], resources: ['pods', 'persistentvolumeclaims', 'services', 'configmaps'], verbs: SOME },
    { apiGroups: [''], resources: ['events'], verbs: ['create', ...READ] },
    {
      apiGroups: ['nvidia.com'],
      resources: ['nemotrainingjobs', 'nemotrainingjobs/status', 'nemoentityhandlers'],
      verbs: ALL,
    },
    ...(scheduler === 'volcano'
      ? [
          { apiGroups: ['batch.volcano.sh'], resources: ['jobs'], verbs: ALL },
          { apiGroups: ['batch.volcano.sh'], resources: ['jobs/status'], verbs: READ },
          { apiGroups: ['nodeinfo.volcano.sh'], resources: ['numatopologies'], verbs: READ },
          {
            apiGroups: ['scheduling.volcano.sh'],
            resources: ['queues', 'queues/status', 'podgroups'],
            verbs: READ,
          },
        ]
      : []),
    // Ours runs nothing by Run:ai and says so.
    ...(scheduler === 'runai' && maker !== 'ours'
      ? [{ apiGroups: ['run.ai'], resources: ['trainingworkloads', 'runaijobs'], verbs: ALL }]
      : []),
  ]
}
