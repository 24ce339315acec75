{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* image of a custom resource. Takes {root, image, fallback}; only a fallback has a tag by itself. Registry and pull secrets of the installation are added by the operators. */}}
{{- define "nemo-instances.crImage" -}}
{{- $image := .image -}}
{{- if not $image.repository -}}
{{- $ours := .fallback -}}
{{- $image = dict "repository" $ours.repository "tag" (.image.tag | default $ours.tag) -}}
{{- if and $ours.digest (not .image.tag) -}}
{{- $image = dict "repository" (printf "%s@sha256" $ours.repository) "tag" (trimPrefix "sha256:" $ours.digest) -}}
{{- end -}}
{{- end -}}
{{- if not $image.tag }}{{ fail (printf "the image %s needs a tag beside it" $image.repository) }}{{ end -}}
{{- $full := dict "repository" $image.repository "tag" $image.tag "pullPolicy" "IfNotPresent" -}}
{{- if contains "nvcr.io/" $image.repository -}}{{- $_ := set $full "pullSecrets" (list .root.Values.ngc.pullSecret) -}}{{- end -}}
{{- $full | toJson -}}
{{- end -}}

{{/* databaseConfig. Takes {root, host, part, database, user}. */}}
{{- define "nemo-instances.database" -}}
{{- $host := .host | default (printf "%s-%s-postgresql" (include "nemo-instances.infra" .root) .part) -}}
{{- dict "host" $host "port" 5432 "databaseName" .database "credentials" (dict "user" .user "secretName" (printf "%s-pg-existing-secret" .part) "passwordKey" "password") | toJson -}}
{{- end -}}

{{/*
All custom resources that are on, as JSON {items: [{kind, name, part, spec}]}: written as objects, listed for the
cleanup and looked through for images of NVIDIA by the check.
*/}}
{{- define "nemo-instances.resources" -}}
{{- $root := . -}}
{{- $v := .Values -}}
{{- $infra := include "nemo-instances.infra" . -}}
{{- $ours := $v.images.services -}}
{{- $domain := printf "%s.svc" .Release.Namespace -}}
{{- $url := dict -}}
{{- range list "nemoCustomizer" "nemoDatastore" "nemoEntitystore" "nemoEvaluator" "nemoGuardrail" -}}
{{- $_ := set $url . (printf "http://%s.%s:8000" (index $v .).name $domain) -}}
{{- end -}}
{{- $expose := dict "service" (dict "type" "ClusterIP" "port" 8000) -}}
{{- $items := list -}}
{{- $storage := $v.global.storageClass -}}
{{- /* Where our services find models that are served; others know no such variable. */ -}}
{{- $nim := list (dict "name" "NEMO_INFERENCE_URL" "value" (printf "http://%s.%s:8000" $v.nimPipeline.serviceName $domain)) -}}

{{- with $v.nemoEntitystore -}}
{{- if .enabled -}}
{{- $spec := dict
  "image" (include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson)
  "databaseConfig" (include "nemo-instances.database" (dict "root" $root "host" .databaseHost "part" "entity-store" "database" "nesdb" "user" "nesuser") | fromJson)
  "datastore" (dict "endpoint" $url.nemoDatastore) "expose" $expose "env" $nim "replicas" 1 "resources" .resources -}}
{{- $items = append $items (dict "kind" "NemoEntitystore" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nemoDatastore -}}
{{- if .enabled -}}
{{- $spec := dict
  "image" (include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson)
  "databaseConfig" (include "nemo-instances.database" (dict "root" $root "host" .databaseHost "part" "datastore" "database" "ndsdb" "user" "ndsuser") | fromJson)
  "pvc" (dict "create" true "name" (printf "%s-pvc" .name) "size" .storageSize "volumeAccessMode" "ReadWriteOnce" "storageClass" $storage)
  "expose" (deepCopy $expose) "replicas" 1 "resources" .resources -}}
{{- $items = append $items (dict "kind" "NemoDatastore" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nemoCustomizer -}}
{{- if .enabled -}}
{{- $trainer := include "nemo-instances.crImage" (dict "root" $root "image" (dict "repository" "" "tag" "") "fallback" $v.images.trainer) | fromJson -}}
{{- $training := dict "configMap" (dict "name" (printf "%s-training-config" .name)) "image" (pick $trainer "repository" "tag" "pullPolicy")
  "workspacePVC" (dict "size" .workspaceSize "volumeAccessMode" "ReadWriteOnce" "storageClass" $storage "mountPath" "/pvc/workspace")
  "resources" .trainingResources -}}
{{- $spec := dict
  "image" (include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson)
  "databaseConfig" (include "nemo-instances.database" (dict "root" $root "host" .databaseHost "part" "customizer" "database" "ncsdb" "user" "ncsuser") | fromJson)
  "datastore" (dict "endpoint" $url.nemoDatastore) "entitystore" (dict "endpoint" $url.nemoEntitystore)
  "mlflow" (dict "endpoint" (printf "http://%s-customizer-mlflow-tracking.%s:80" $infra $domain))
  "scheduler" (dict "type" .scheduler "queue" $v.volcanoQueue)
  "modelConfig" (dict "name" (printf "%s-model-config" .name))
  "trainingConfig" $training
  "otel" (dict "enabled" .otel "exporterOtlpEndpoint" (printf "http://%s-customizer-opentelemetry.%s:4317" $infra $domain))
  "expose" (deepCopy $expose) "env" $nim "replicas" 1 "resources" .resources -}}
{{- /* Where the Customizer looks whether a tuned model is served. */ -}}
{{- if $v.nimPipeline.enabled -}}{{- $_ := set $spec "env" (list (dict "name" "NEMO_INFERENCE_URL" "value" (printf "http://%s.%s:8000" $v.nimPipeline.serviceName $domain))) -}}{{- end -}}
{{- $items = append $items (dict "kind" "NemoCustomizer" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nemoEvaluator -}}
{{- if .enabled -}}
{{- $spec := dict
  "image" (include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson)
  "databaseConfig" (include "nemo-instances.database" (dict "root" $root "host" .databaseHost "part" "evaluator" "database" "evaldb" "user" "evaluser") | fromJson)
  "argoWorkflows" (dict "endpoint" (printf "http://%s-argo-workflows-server.%s:2746" $infra $domain) "serviceAccount" (printf "%s-argo-workflows-workflow" $infra))
  "vectorDB" (dict "endpoint" (printf "http://%s-evaluator-milvus.%s:19530" $infra $domain))
  "datastore" (dict "endpoint" (printf "%s/v1/hf" $url.nemoDatastore)) "entitystore" (dict "endpoint" $url.nemoEntitystore)
  "evaluationImages" dict
  "otel" (dict "enabled" .otel "exporterOtlpEndpoint" (printf "http://%s-evaluator-opentelemetry.%s:4317" $infra $domain))
  "expose" (deepCopy $expose) "env" $nim "replicas" 1 "resources" .resources -}}
{{- $items = append $items (dict "kind" "NemoEvaluator" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nemoGuardrail -}}
{{- if .enabled -}}
{{- $spec := dict
  "image" (include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson)
  "databaseConfig" (include "nemo-instances.database" (dict "root" $root "host" .databaseHost "part" "guardrail" "database" "guardraildb" "user" "guardrailuser") | fromJson)
  "configStore" (dict "configMap" (dict "name" (printf "%s-config" .name)))
  "nimEndpoint" (dict "baseURL" (printf "http://%s.%s:8000/v1" $v.nimPipeline.serviceName $domain))
  "expose" (deepCopy $expose) "replicas" 1 "resources" .resources -}}
{{- $items = append $items (dict "kind" "NemoGuardrail" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nimCache -}}
{{- if .enabled -}}
{{- $source := dict "endpoint" (.endpoint | default (printf "%s/v1/hf" $url.nemoDatastore)) "namespace" (splitList "/" .model | first) "modelName" (splitList "/" .model | last) "modelPuller" (include "nemo-instances.plainImage" $ours) -}}
{{- if .authSecret -}}{{- $_ := set $source "authSecret" .authSecret -}}{{- end -}}
{{- $spec := dict "source" (dict (ternary "hf" "dataStore" (ne .endpoint "")) $source)
  "storage" (dict "pvc" (dict "create" true "name" (printf "%s-pvc" .name) "size" .storageSize "volumeAccessMode" "ReadWriteOnce" "storageClass" $storage)) -}}
{{- if hasKey .spec "source" -}}{{- $spec = omit $spec "source" -}}{{- end -}}
{{- $items = append $items (dict "kind" "NIMCache" "name" .name "spec" (mergeOverwrite $spec (deepCopy .spec))) -}}
{{- end -}}
{{- end -}}

{{- with $v.nimPipeline -}}
{{- if .enabled -}}
{{- $image := include "nemo-instances.crImage" (dict "root" $root "image" .image "fallback" $ours) | fromJson -}}
{{- $env := list (dict "name" "NEMO_ENTITY_STORE_URL" "value" $url.nemoEntitystore) (dict "name" "NEMO_DATA_STORE_URL" "value" $url.nemoDatastore)
  (dict "name" "NIM_PEFT_SOURCE" "value" $url.nemoEntitystore) -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpus) 0 -}}
{{- $_ := set $resources "limits" (merge (dict "nvidia.com/gpu" (toString .gpus)) (default dict $resources.limits)) -}}
{{- end -}}
{{- $spec := dict "image" $image "env" $env "storage" (dict "nimCache" (dict "name" $v.nimCache.name "profile" "")) "replicas" 1 "resources" $resources "expose" (deepCopy $expose) -}}
{{- if contains "nvcr.io/" $image.repository -}}{{- $_ := set $spec "authSecret" $v.ngc.apiSecret -}}{{- end -}}
{{- $service := dict "name" .serviceName "enabled" true "spec" (mergeOverwrite $spec (deepCopy .spec)) -}}
{{- $items = append $items (dict "kind" "NIMPipeline" "name" .name "spec" (dict "services" (list $service))) -}}
{{- end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end -}}
