{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* Annotations of an object of a hook; nothing of it stays, whatever comes of it. Takes {events, weight}. */}}
{{- define "nemo-instances.hook" -}}
annotations:
  helm.sh/hook: {{ .events }}
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
  helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/*
ServiceAccount, rights and Job of a hook, whose events get their own copies. Takes {root, part, name, hook, env, events,
weight, rules, clusterRules, deadline}. weight is that of the Job.
*/}}
{{- define "nemo-instances.hookObjects" -}}
{{- $before := dict "events" .events "weight" (sub .weight 5) -}}
{{- $cluster := printf "%s-%s" .root.Release.Namespace .name -}}
{{- $bind := dict "name" .name "namespace" .root.Release.Namespace -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "nemo-instances.metadata" . | nindent 2 }}
  {{- include "nemo-instances.hook" $before | nindent 2 }}
automountServiceAccountToken: false
---
{{- if .rules }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "nemo-instances.metadata" . | nindent 2 }}
  {{- include "nemo-instances.hook" $before | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "nemo-instances.metadata" . | nindent 2 }}
  {{- include "nemo-instances.hook" $before | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace | quote }}
---
{{- end }}
{{- if .clusterRules }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $cluster }}
  labels:
    {{- include "nemo-instances.labels" . | nindent 4 }}
  {{- include "nemo-instances.hook" $before | nindent 2 }}
rules:
  {{- toYaml .clusterRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $cluster }}
  labels:
    {{- include "nemo-instances.labels" . | nindent 4 }}
  {{- include "nemo-instances.hook" $before | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $cluster }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace | quote }}
---
{{- end }}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "nemo-instances.metadata" . | nindent 2 }}
  {{- include "nemo-instances.hook" (dict "events" .events "weight" .weight) | nindent 2 }}
spec:
  backoffLimit: {{ .retries | default 0 }}
  activeDeadlineSeconds: {{ .deadline }}
  template:
    {{- include "nemo-instances.hookPod" . | nindent 4 }}
{{- end -}}
