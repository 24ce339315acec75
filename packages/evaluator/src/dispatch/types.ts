// SPDX-License-Identifier: Apache-2.0

/** Where a workload of a job stands: a pod, or what makes one. */
export type WorkloadState = 'absent' | 'running' | 'ended'

/** Runs `nemoctl evaluate-job <id>` somewhere else. Names are the caller's, so that nothing is begun twice. */
export interface Launcher {
  /** Begins it; nothing happens when there is one of this name. */
  launch(workload: { name: string; job: string }): Promise<void>
  state(name: string): Promise<WorkloadState>
  /** Ends it, also while its pod waits for a node; nothing happens when there is none, or it has ended. */
  stop(name: string): Promise<void>
  /** Removes it with its pod; nothing happens when there is none. */
  remove(name: string): Promise<void>
}

/** The parts of a pod's spec that are read and written here. */
export interface PodSpec {
  serviceAccountName?: string
  containers: Container[]
  volumes?: Volume[]
  [field: string]: unknown
}

export interface Container {
  name: string
  image?: string
  command?: string[]
  args?: string[]
  volumeMounts?: { name: string; mountPath: string }[]
  [field: string]: unknown
}

export interface Volume {
  name: string
  [source: string]: unknown
}
