{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/*
Prefix of all names: the release's name. A long one is cut to 28 characters and made unique by a hash, so that the
longest name of a StatefulSet still fits the 52 characters that its pods' labels leave.
*/}}
{{- define "nemo-infra.fullname" -}}
{{- if le (len .Release.Name) 28 -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 19 | trimSuffix "-") (.Release.Name | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{/* Name of the notebook: without the release's name in the release that the guide installs. */}}
{{- define "nemo-infra.jupyter" -}}
{{- if eq .Release.Name "nemo-infra" -}}jupyter-notebook{{- else -}}{{- include "nemo-infra.fullname" . }}-jupyter-notebook{{- end -}}
{{- end -}}

{{/* "true" when a part is installed. Takes {root, part}. */}}
{{- define "nemo-infra.on" -}}
{{- $off := and (eq .root.Values.profile "minimal") (has .part (list "argo" "milvus" "volcano" "jupyter")) -}}
{{- if and (index .root.Values.install .part) (not $off) -}}true{{- end -}}
{{- end -}}

{{/* "true" when all databases are on one PostgreSQL. */}}
{{- define "nemo-infra.sharedPostgresql" -}}
{{- if or .Values.postgresql.shared (eq .Values.profile "minimal") -}}true{{- end -}}
{{- end -}}

{{/* The databases that are installed, as JSON {items: [...]}: part, role, database, Secret made by hand if any, and the name of both Service and Secret. */}}
{{- define "nemo-infra.databases" -}}
{{- $root := . -}}
{{- $name := include "nemo-infra.fullname" . -}}
{{- $all := list
  (dict "install" "customizerPostgresql" "part" "customizer" "role" "ncsuser" "database" "ncsdb")
  (dict "install" "datastorePostgresql" "part" "datastore" "role" "ndsuser" "database" "ndsdb")
  (dict "install" "entityStorePostgresql" "part" "entity-store" "role" "nesuser" "database" "nesdb")
  (dict "install" "evaluatorPostgresql" "part" "evaluator" "role" "evaluser" "database" "evaldb")
  (dict "install" "guardrailPostgresql" "part" "guardrail" "role" "guardrailuser" "database" "guardraildb")
  (dict "install" "postgresql" "part" "general" "role" "mlflow" "database" "mlflow") -}}
{{- $items := list -}}
{{- range $all -}}
{{- if index $root.Values.install .install -}}
{{- $general := eq .part "general" -}}
{{- $name := ternary (printf "%s-postgresql" $name) (printf "%s-%s-postgresql" $name .part) $general -}}
{{- $items = append $items (merge (dict "name" $name "handMade" (ternary "" (printf "%s-pg-existing-secret" .part) $general)) .) -}}
{{- end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end -}}

{{/* The Secrets that are made when absent, as JSON {items: [...]}: name, the keys that get a random value, and other keys. */}}
{{- define "nemo-infra.secrets" -}}
{{- $name := include "nemo-infra.fullname" . -}}
{{- $secrets := list -}}
{{- range (include "nemo-infra.databases" . | fromJson).items -}}
{{- $secrets = append $secrets (dict "name" .name "generate" (list "password")) -}}
{{- end -}}
{{- if include "nemo-infra.on" (dict "root" . "part" "minio") -}}
{{- $secrets = append $secrets (dict "name" (printf "%s-minio" $name) "generate" (list "root-password") "values" (dict "root-user" "open-nemo")) -}}
{{- end -}}
{{- if include "nemo-infra.on" (dict "root" . "part" "jupyter") -}}
{{- $secrets = append $secrets (dict "name" (printf "%s-jupyter" $name) "generate" (list "token")) -}}
{{- end -}}
{{- dict "items" $secrets | toJson -}}
{{- end -}}

{{/* Labels by which Services, policies and workloads find pods. Takes {root, part}. */}}
{{- define "nemo-infra.selector" -}}
app.kubernetes.io/name: {{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end -}}

{{/* Labels of pods: none of them changes with the chart's version, so that an upgrade rolls no pod by itself. */}}
{{- define "nemo-infra.podLabels" -}}
{{ include "nemo-infra.selector" . }}
app.kubernetes.io/part-of: nemo-infra
{{- end -}}

{{/* Labels of objects. Takes {root, part}. */}}
{{- define "nemo-infra.labels" -}}
{{ include "nemo-infra.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Reference of an image. Takes {root, image, tag}; tag is the one for an image that names none. */}}
{{- define "nemo-infra.image" -}}
{{- $repository := .image.repository -}}
{{- $registry := .root.Values.global.imageRegistry | trimSuffix "/" -}}
{{- if $registry -}}
{{- $first := splitList "/" $repository | first -}}
{{- $host := and (contains "/" $repository) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- $repository = printf "%s/%s" $registry (ternary (trimPrefix (printf "%s/" $first) $repository) $repository $host) -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- $tag := .image.tag | default .tag -}}
{{- if not $tag }}{{ fail (printf "the image %s has neither a tag nor a digest: give it one" .image.repository) }}{{ end -}}
{{- printf "%s:%s" $repository $tag -}}
{{- end -}}
{{- end -}}

{{/* "true" on OpenShift, where the namespace's range gives UID and fsGroup. */}}
{{- define "nemo-infra.openshift" -}}
{{- $mode := .Values.global.podSecurity -}}
{{- if or (eq $mode "openshift") (and (eq $mode "auto") (.Capabilities.APIVersions.Has "config.openshift.io/v1")) -}}true{{- end -}}
{{- end -}}

{{/*
securityContext of a pod: what Pod Security `restricted` and the SCC restricted-v2 ask for. The group is 0 as on
OpenShift, since that is the group that images let run their programs.
*/}}
{{- define "nemo-infra.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "nemo-infra.openshift" .) }}
runAsUser: {{ .Values.global.runAsUser }}
runAsGroup: 0
fsGroup: {{ .Values.global.fsGroup }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* securityContext of every container. */}}
{{- define "nemo-infra.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Annotations of every pod. */}}
{{- define "nemo-infra.podAnnotations" -}}
openshift.io/required-scc: restricted-v2
{{- end -}}

{{/* nodeSelector, tolerations, affinity and imagePullSecrets as they are given. */}}
{{- define "nemo-infra.placement" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.global.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.global.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.global.scheduling.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The fields that all pods have alike. Takes {root, serviceAccount, token}. */}}
{{- define "nemo-infra.pod" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  {{- include "nemo-infra.podSecurityContext" .root | nindent 2 }}
{{- include "nemo-infra.placement" .root }}
{{- end -}}

{{/* Hosts of the cluster, which no proxy may see. */}}
{{- define "nemo-infra.noProxy" -}}
{{- $name := include "nemo-infra.fullname" . -}}
{{- $hosts := list "localhost" "127.0.0.1" "$(KUBERNETES_SERVICE_HOST)" ".svc" ".cluster.local" (printf ".%s" .Release.Namespace) -}}
{{- range list "minio" "postgresql" "customizer-mlflow-tracking" "evaluator-milvus" "argo-workflows-server" "customizer-opentelemetry" "evaluator-opentelemetry" -}}
{{- $hosts = append $hosts (printf "%s-%s" $name .) -}}
{{- end -}}
{{- range list "customizer" "datastore" "entity-store" "evaluator" "guardrail" -}}
{{- $hosts = append $hosts (printf "%s-%s-postgresql" $name .) -}}
{{- end -}}
{{- /* The services of deploy/nemo-instances by the names that the notebook calls them. */ -}}
{{- $hosts = concat $hosts (list "nemoentitystore-sample" "nemodatastore-sample" "nemocustomizer-sample" "nemoevaluator-sample" "nemoguardrails-sample" "nimpipeline-sample-llm") -}}
{{- with .Values.global.proxy.noProxy }}{{ $hosts = append $hosts . }}{{ end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/* Environment of every container: proxy and certificate authorities, if any. */}}
{{- define "nemo-infra.commonEnv" -}}
{{- $proxy := .Values.global.proxy -}}
{{- if or $proxy.http $proxy.https }}
{{- $set := dict "HTTP_PROXY" $proxy.http "HTTPS_PROXY" $proxy.https "NO_PROXY" (include "nemo-infra.noProxy" .) }}
{{- range $key, $value := $set }}
{{- if $value }}
- name: {{ $key }}
  value: {{ $value | quote }}
- name: {{ lower $key }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.global.customCA.configMap }}
{{- range list "SSL_CERT_FILE" "NODE_EXTRA_CA_CERTS" "REQUESTS_CA_BUNDLE" "AWS_CA_BUNDLE" "CURL_CA_BUNDLE" }}
- name: {{ . }}
  value: /etc/open-nemo/ca/{{ $.Values.global.customCA.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "nemo-infra.commonMounts" -}}
{{- if .Values.global.customCA.configMap }}
- name: custom-ca
  mountPath: /etc/open-nemo/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "nemo-infra.commonVolumes" -}}
{{- with .Values.global.customCA.configMap }}
- name: custom-ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* ServiceAccount of one part. Takes {root, part, name}. */}}
{{- define "nemo-infra.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "nemo-infra.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}

{{/* A volume claim that outlives the release. Takes {root, part, name, storage}. */}}
{{- define "nemo-infra.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "nemo-infra.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  {{- include "nemo-infra.claimSpec" . | nindent 2 }}
{{- end -}}

{{- define "nemo-infra.claimSpec" -}}
accessModes: [ReadWriteOnce]
{{- with .storage.storageClass | default .root.Values.global.storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .storage.size }}
{{- end -}}

{{/* A Service of type ClusterIP. Takes {root, part, name, ports: [{name, port, target}]}. */}}
{{- define "nemo-infra.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "nemo-infra.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  {{- if .headless }}
  clusterIP: None
  {{- end }}
  selector:
    {{- include "nemo-infra.selector" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .target }}
      protocol: TCP
      appProtocol: {{ .protocol }}
    {{- end }}
{{- end -}}
