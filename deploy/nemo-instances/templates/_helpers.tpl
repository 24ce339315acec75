{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* Prefix of names of our own: the release's name, cut and made unique where it is long. */}}
{{- define "nemo-instances.fullname" -}}
{{- if le (len .Release.Name) 40 -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 31 | trimSuffix "-") (.Release.Name | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{/* Prefix of the infrastructure's names; the same rule as in its chart. */}}
{{- define "nemo-instances.infra" -}}
{{- $name := .Values.infra.releaseName -}}
{{- if le (len $name) 28 -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" ($name | trunc 19 | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "nemo-instances.selector" -}}
app.kubernetes.io/name: {{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end -}}

{{/* Labels of pods: none of them changes with the chart's version, so that an upgrade rolls no pod by itself. */}}
{{- define "nemo-instances.podLabels" -}}
{{ include "nemo-instances.selector" . }}
app.kubernetes.io/part-of: nemo-instances
{{- end -}}

{{/* Labels of objects. Takes {root, part}. */}}
{{- define "nemo-instances.labels" -}}
{{ include "nemo-instances.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* name, namespace and labels of an object. Takes {root, part, name}. */}}
{{- define "nemo-instances.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "nemo-instances.labels" . | nindent 2 }}
{{- end -}}

{{/* Reference of an image of ours without the registry's replacement, which the operators do. Takes an image. */}}
{{- define "nemo-instances.plainImage" -}}
{{- if not (or .tag .digest) }}{{ fail (printf "the image %s has neither a tag nor a digest: give it one" .repository) }}{{ end -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}

{{/* Reference of the services' image, for pods of this chart. */}}
{{- define "nemo-instances.image" -}}
{{- $image := include "nemo-instances.plainImage" .Values.images.services -}}
{{- $registry := .Values.global.imageRegistry | trimSuffix "/" -}}
{{- if $registry -}}
{{- $first := splitList "/" $image | first -}}
{{- $host := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- printf "%s/%s" $registry (ternary (trimPrefix (printf "%s/" $first) $image) $image $host) -}}
{{- else -}}
{{- $image -}}
{{- end -}}
{{- end -}}

{{/* `openshift`, where the namespace's range gives UID and fsGroup, or `kubernetes`. */}}
{{- define "nemo-instances.platform" -}}
{{- $mode := .Values.global.podSecurity -}}
{{- if or (eq $mode "openshift") (and (eq $mode "auto") (.Capabilities.APIVersions.Has "config.openshift.io/v1")) -}}
openshift
{{- else -}}
kubernetes
{{- end -}}
{{- end -}}

{{/* The fields that all pods of this chart have alike. Takes {root, serviceAccount}. */}}
{{- define "nemo-instances.pod" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- if eq (include "nemo-instances.platform" .root) "kubernetes" }}
  runAsUser: {{ .root.Values.global.runAsUser }}
  runAsGroup: 0
  fsGroup: {{ .root.Values.global.fsGroup }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .root.Values.global.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.global.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.global.scheduling.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "nemo-instances.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Hosts of the cluster, which no proxy may see. */}}
{{- define "nemo-instances.noProxy" -}}
{{- $hosts := list "localhost" "127.0.0.1" ".svc" ".cluster.local" (printf ".%s" .Release.Namespace) -}}
{{- range list "nemoCustomizer" "nemoDatastore" "nemoEntitystore" "nemoEvaluator" "nemoGuardrail" -}}
{{- $hosts = append $hosts (index $.Values .).name -}}
{{- end -}}
{{- $infra := include "nemo-instances.infra" . -}}
{{- range list "customizer" "datastore" "entity-store" "evaluator" "guardrail" -}}
{{- $hosts = append $hosts (printf "%s-%s-postgresql" $infra .) -}}
{{- end -}}
{{- range list "minio" "postgresql" "customizer-mlflow-tracking" "evaluator-milvus" "argo-workflows-server" "customizer-opentelemetry" "evaluator-opentelemetry" -}}
{{- $hosts = append $hosts (printf "%s-%s" $infra .) -}}
{{- end -}}
{{- $hosts = append $hosts .Values.nimPipeline.serviceName -}}
{{- with .Values.global.proxy.noProxy }}{{ $hosts = append $hosts . }}{{ end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/*
Environment of every container of this chart. Its pods talk to the cluster alone, so Node is not told to use the proxy;
what somebody runs inside of them finds it.
*/}}
{{- define "nemo-instances.env" -}}
- name: HOME
  value: /tmp
- name: NEMO_CACHE
  value: /tmp/cache
{{- $proxy := .Values.global.proxy }}
{{- if or $proxy.http $proxy.https }}
{{- $direct := printf "$(KUBERNETES_SERVICE_HOST),%s" (include "nemo-instances.noProxy" .) }}
{{- range $key, $value := dict "HTTP_PROXY" $proxy.http "HTTPS_PROXY" $proxy.https "NO_PROXY" $direct }}
{{- if $value }}
- name: {{ $key }}
  value: {{ $value | quote }}
- name: {{ lower $key }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.global.customCA.configMap }}
- name: NODE_EXTRA_CA_CERTS
  value: /etc/custom-ca/{{ .Values.global.customCA.key }}
{{- end }}
{{- end -}}

{{- define "nemo-instances.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.global.customCA.configMap }}
- name: custom-ca
  mountPath: /etc/custom-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "nemo-instances.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.global.customCA.configMap }}
- name: custom-ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* template of a Job that runs one hook of nemoctl. Takes {root, part, name, hook, env, retry}. */}}
{{- define "nemo-instances.hookPod" -}}
metadata:
  labels:
    {{- include "nemo-instances.podLabels" . | nindent 4 }}
  annotations:
    openshift.io/required-scc: restricted-v2
    # A sidecar would keep the pod from ending.
    sidecar.istio.io/inject: "false"
spec:
  {{- include "nemo-instances.pod" (dict "root" .root "serviceAccount" .name) | nindent 2 }}
  restartPolicy: {{ ternary "OnFailure" "Never" (default false .retry) }}
  containers:
    - name: {{ .hook }}
      image: {{ include "nemo-instances.image" .root }}
      imagePullPolicy: IfNotPresent
      args: [hook, {{ .hook }}]
      terminationMessagePolicy: FallbackToLogsOnError
      env:
        {{- include "nemo-instances.env" .root | nindent 8 }}
        {{- range $key, $value := .env }}
        - name: {{ $key }}
          value: {{ $value | toString | quote }}
        {{- end }}
      resources:
        requests: { cpu: 50m, memory: 96Mi }
        limits: { cpu: "1", memory: 256Mi }
      securityContext:
        {{- include "nemo-instances.securityContext" .root | nindent 8 }}
      volumeMounts:
        {{- include "nemo-instances.mounts" .root | nindent 8 }}
  volumes:
    {{- include "nemo-instances.volumes" .root | nindent 4 }}
{{- end -}}

{{/* Refuses what cannot work, with the way out. */}}
{{- define "nemo-instances.validate" -}}
{{- /* `--set namespace.name=123` gives a number. */ -}}
{{- $name := toString .Values.namespace.name -}}
{{- if and $name (ne $name .Release.Namespace) -}}
{{- fail (printf "namespace.name is %q but the release goes to namespace %q: give both the same (-n %s), or leave namespace.name out" $name .Release.Namespace $name) -}}
{{- end -}}
{{- if and .Values.expose.type (not .Values.expose.host) -}}
{{- fail (printf "expose.type is %q without expose.host: name the host under which the API is reached" .Values.expose.type) -}}
{{- end -}}
{{- end -}}
