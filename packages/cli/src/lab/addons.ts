// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { CLUSTER_DNS } from './node.ts'
import { IMAGES } from './system-images.ts'

type Manifest = { apiVersion: string; kind: string; metadata: object; [field: string]: unknown }

const DNS = { name: 'coredns', namespace: 'kube-system' }
const STORAGE = { name: 'local-path-provisioner', namespace: 'local-path-storage' }
/** Volumes that every user may write to, as hostPath-like provisioners make them. */
export const OPEN_CLASS = 'local-path'
/** Volumes as most CSI drivers make them: root's alone (0755), opened by the pod's fsGroup only. */
export const ROOT_CLASS = 'local-path-root'

const rule = (apiGroups: string[], resources: string[], verbs: string[]) => ({ apiGroups, resources, verbs })
const READ = ['get', 'list', 'watch']

/** What runs inside the lab's cluster from the start: DNS, and the provisioner of volumes. */
export function addonManifests(dir: string): Manifest[] {
  return [...dns(), ...storage(join(dir, 'volumes'))]
}

/** A ServiceAccount with a ClusterRole of its own. */
function account(who: { name: string; namespace: string }, rules: object[]): Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: who },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: `lab-${who.name}` },
      rules,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: `lab-${who.name}` },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `lab-${who.name}` },
      subjects: [{ kind: 'ServiceAccount', ...who }],
    },
  ]
}

function deployment(who: { name: string; namespace: string }, pod: object): Manifest {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: who,
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: who.name } },
      template: { metadata: { labels: { app: who.name } }, spec: { serviceAccountName: who.name, ...pod } },
    },
  }
}

function dns(): Manifest[] {
  // No upstream: a name outside the cluster does not exist.
  const corefile = `.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
    cache 5
    loop
    reload
}
`
  const pod = {
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65534,
      seccompProfile: { type: 'RuntimeDefault' },
      // Port 53 without a capability.
      sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
    },
    dnsPolicy: 'Default',
    containers: [
      {
        name: 'coredns',
        image: IMAGES.coredns,
        imagePullPolicy: 'IfNotPresent',
        args: ['-conf', '/etc/coredns/Corefile'],
        readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
        livenessProbe: { httpGet: { path: '/health', port: 8080 }, initialDelaySeconds: 10 },
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        },
        volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
      },
    ],
    volumes: [{ name: 'config', configMap: { name: DNS.name } }],
  }
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ]
  return [
    ...account(DNS, [
      rule([''], ['services', 'pods', 'namespaces', 'endpoints'], ['list', 'watch']),
      rule(['discovery.k8s.io'], ['endpointslices'], ['list', 'watch']),
    ]),
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: DNS, data: { Corefile: corefile } },
    deployment(DNS, pod),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: DNS.namespace, labels: { 'k8s-app': 'kube-dns' } },
      spec: { clusterIP: CLUSTER_DNS, selector: { app: DNS.name }, ports },
    },
  ]
}

function storage(folder: string): Manifest[] {
  const open = join(folder, 'open')
  const root = join(folder, 'root')
  const make = `#!/bin/sh
set -eu
case "$VOL_DIR" in
${root}/*) mkdir -p -m 0755 "$VOL_DIR" ;;
*) mkdir -p -m 0777 "$VOL_DIR" ;;
esac
`
  const helper = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'helper-pod' },
    spec: { containers: [{ name: 'helper-pod', image: IMAGES.busybox, imagePullPolicy: 'IfNotPresent' }] },
  }
  const config = {
    nodePathMap: [{ node: 'DEFAULT_PATH_FOR_NON_LISTED_NODES', paths: [open, root] }],
  }
  const storageClass = (name: string, nodePath: string, annotations: Record<string, string>): Manifest => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name, annotations },
    provisioner: 'rancher.io/local-path',
    parameters: { nodePath },
    volumeBindingMode: 'WaitForFirstConsumer',
    reclaimPolicy: 'Delete',
  })
  const isDefault = { 'storageclass.kubernetes.io/is-default-class': 'true' }
  const pod = {
    containers: [
      {
        name: STORAGE.name,
        image: IMAGES.localPath,
        imagePullPolicy: 'IfNotPresent',
        command: ['local-path-provisioner', 'start', '--config', '/etc/config/config.json'],
        args: ['--service-account-name', STORAGE.name],
        env: [
          { name: 'POD_NAMESPACE', value: STORAGE.namespace },
          { name: 'CONFIG_MOUNT_PATH', value: '/etc/config/' },
        ],
        volumeMounts: [{ name: 'config', mountPath: '/etc/config/' }],
      },
    ],
    volumes: [{ name: 'config', configMap: { name: 'local-path-config' } }],
  }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: STORAGE.namespace } },
    ...account(STORAGE, [
      rule([''], ['nodes', 'persistentvolumeclaims', 'configmaps', 'pods', 'pods/log'], READ),
      rule([''], ['persistentvolumes'], [...READ, 'create', 'patch', 'update', 'delete']),
      rule([''], ['pods'], ['create', 'patch', 'update', 'delete']),
      rule([''], ['events'], ['create', 'patch']),
      rule(['storage.k8s.io'], ['storageclasses'], READ),
    ]),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'local-path-config', namespace: STORAGE.namespace },
      data: {
        'config.json': JSON.stringify(config),
        setup: make,
        teardown: '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
        'helperPod.yaml': JSON.stringify(helper),
      },
    },
    deployment(STORAGE, pod),
    storageClass(OPEN_CLASS, open, isDefault),
    // `local` volumes, other than hostPath ones, get the pod's fsGroup.
    storageClass(ROOT_CLASS, root, { defaultVolumeType: 'local' }),
  ]
}
