// SPDX-License-Identifier: Apache-2.0
// Kubernetes from package registries, for trials and tests. `startControlPlane` is an API server without nodes, for
// tests of what only talks to the API; `labUp` is a whole one-node cluster.
export { ensureSccCrd, ensureTools, type Tool } from './binaries.ts'
export { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts'
export { type Lab, type LabOptions, type LabStatus, labDown, labStatus, labUp } from './lab.ts'
export { labOwner } from './network.ts'
export { LabError } from './processes.ts'
export { ensurePublishedCrd, type PublishedCrd } from './published-crds.ts'
export { labRemains } from './remains.ts'
