// SPDX-License-Identifier: Apache-2.0
// The commands of the guide as its readers type them.

/** Step 1: what is looked at after the infrastructure. */
export const INFRA_PODS =
  'oc get pods -n <namespace> | grep -E "(postgresql|mlflow|volcano|argo|milvus|opentelemetry|jupyter|minio)"'

/** The pods of the guide's expected output, without the parts of their names that the cluster makes. */
export const INFRA_NAMES = [
  'jupyter-notebook',
  'nemo-infra-argo-workflows-server',
  'nemo-infra-argo-workflows-workflow-controller',
  'nemo-infra-customizer-mlflow-tracking',
  'nemo-infra-customizer-opentelemetry',
  'nemo-infra-customizer-postgresql',
  'nemo-infra-datastore-postgresql',
  'nemo-infra-entity-store-postgresql',
  'nemo-infra-evaluator-milvus-standalone',
  'nemo-infra-evaluator-opentelemetry',
  'nemo-infra-evaluator-postgresql',
  'nemo-infra-guardrail-postgresql',
  'nemo-infra-minio',
  'nemo-infra-postgresql',
]

/** Step 2: the Secrets that the guide makes by hand. */
export const SECRETS = `export NGC_API_KEY="<YOUR_NGC_API_KEY>"
oc create secret docker-registry ngc-secret \\
  --docker-server=nvcr.io \\
  --docker-username='$oauthtoken' \\
  --docker-password=$NGC_API_KEY \\
  -n <namespace>
oc create secret generic ngc-api-secret \\
  --from-literal=NGC_API_KEY=$NGC_API_KEY \\
  -n <namespace>
oc create secret generic customizer-pg-existing-secret \\
  --from-literal=password=ncspassword \\
  -n <namespace>
oc create secret generic datastore-pg-existing-secret \\
  --from-literal=password=ndspass \\
  -n <namespace>
oc create secret generic entity-store-pg-existing-secret \\
  --from-literal=password=nespass \\
  -n <namespace>
oc create secret generic evaluator-pg-existing-secret \\
  --from-literal=password=evalpass \\
  -n <namespace>
oc create secret generic guardrail-pg-existing-secret \\
  --from-literal=password=guardrailpass \\
  -n <namespace>`

/** Step 3: what is looked at after the services. */
export const INSTANCES = [
  'oc get -n <namespace> nemoentitystore,nemodatastore,nemoguardrails,nemocustomizer,nemoevaluator',
  'oc get -n <namespace> nimpipeline,nimcache,nimservice',
  'oc get pods -n <namespace> | grep -E "(nemo-operator|nim-operator|nemocustomizer|nemodatastore|nemoentitystore|nemoevaluator|nemoguardrails|nimcache|nimpipeline)"',
]

/** The guide's expected output of the last one, and the pod of the model, which it leaves out. */
export const INSTANCE_PODS: Record<string, string> = {
  'nemo-samples-nemo-operator-controller-manager': '2/2',
  'nemo-samples-nim-operator': '1/1',
  'nemocustomizer-sample': '1/1',
  'nemodatastore-sample': '1/1',
  'nemoentitystore-sample': '1/1',
  'nemoevaluator-sample': '1/1',
  'nemoguardrails-sample': '1/1',
  'nimpipeline-sample-llm': '1/1',
}

/** How grants are looked at. */
export const GRANTS = `oc get rolebinding -n <namespace> | grep nemocustomizer-sample
oc get scc nonroot -o yaml
oc get scc nemo-customizer-scc -o yaml
oc get rolebinding default-scc-nonroot-binding -n <namespace> -o yaml
oc get rolebinding customizer-scc-nemo-customizer-scc-binding -n <namespace> -o yaml`

/** What is done about a resource or pod that does not go. */
export const STUCK = `NAMESPACE="<namespace>"
oc get nemocustomizer -n "$NAMESPACE" -o jsonpath='{.items[*].metadata.finalizers}'
oc patch nemocustomizer nemocustomizer-sample -n "$NAMESPACE" -p '{"metadata":{"finalizers":[]}}' --type=merge
oc get pods -n "$NAMESPACE"
pod=$(oc get pods -n "$NAMESPACE" -o name | grep nemoevaluator)
oc delete "$pod" -n "$NAMESPACE" --force --grace-period=0`

/** The uninstall by hand. Pods are waited for by label: those of the infrastructure stay until step 3. */
export const FALLBACK = `NAMESPACE="<namespace>"
oc delete nemocustomizer,nemodatastore,nemoentitystore,nemoevaluator,nemoguardrail,nimcache,nimpipeline --all -n "$NAMESPACE"
oc wait --for=delete pod -l app.kubernetes.io/managed-by=open-nemo -n "$NAMESPACE" --timeout=300s
helm uninstall <instances> -n "$NAMESPACE"
helm uninstall <infra> -n "$NAMESPACE"
oc delete all --all -n "$NAMESPACE" --ignore-not-found=true
oc delete jobs --all -n "$NAMESPACE" --ignore-not-found=true
oc delete configmap,secret,serviceaccount,role,rolebinding --all -n "$NAMESPACE" --ignore-not-found=true
oc delete clusterrole,clusterrolebinding -l component=volcano --ignore-not-found=true
oc delete validatingwebhookconfigurations \\
  volcano-admission-service-jobs-validate \\
  volcano-admission-service-pods-validate \\
  volcano-admission-service-queues-validate \\
  --ignore-not-found=true`
