// SPDX-License-Identifier: Apache-2.0
const entity = (plural: string, path: string) => [
  `GET /v1/${plural}`,
  `POST /v1/${plural}`,
  `GET /v1/${plural}/${path}`,
  `PATCH /v1/${plural}/${path}`,
  `DELETE /v1/${plural}/${path}`,
]

const hubRepo = (kind: 'datasets' | 'models') => {
  const api = `/v1/hf/api/${kind}/{namespace}/{repo}`
  const files = `/v1/hf/${kind === 'datasets' ? 'datasets/' : ''}{namespace}/{repo}`
  return [
    `GET /v1/hf/api/${kind}`,
    `GET ${api}`,
    `DELETE ${api}`,
    `GET ${api}/revision/{revision}`,
    `POST ${api}/preupload/{revision}`,
    `POST ${api}/commit/{revision}`,
    `GET ${api}/tree/{revision}`,
    `GET ${api}/tree/{revision}/{path}`,
    `POST ${api}/paths-info/{revision}`,
    `GET ${api}/refs`,
    `GET ${api}/commits/{revision}`,
    `POST ${api}/branch/{branch}`,
    `DELETE ${api}/branch/{branch}`,
    `POST ${api}/tag/{revision}`,
    `HEAD ${files}/resolve/{revision}/{path}`,
    `GET ${files}/resolve/{revision}/{path}`,
    `POST ${files}.git/info/lfs/objects/batch`,
    `GET ${api}/xet-write-token/{revision}`,
  ]
}

/** The operations of each service, as NVIDIA's platform 25.12 and its SDK 1.5.0 have them: what a score is out of. */
export const inventory: Record<string, string[]> = {
  'entity-store': [
    ...entity('namespaces', '{namespace_id}'),
    ...entity('projects', '{namespace}/{project_name}'),
    ...entity('datasets', '{namespace}/{dataset_name}'),
    ...entity('models', '{namespace}/{model_name}'),
  ],
  'data-store': [
    'POST /v1/datastore/namespaces',
    'GET /v1/datastore/namespaces',
    'GET /v1/datastore/namespaces/{namespace}',
    'DELETE /v1/datastore/namespaces/{namespace}',
    'GET /v1/health',
    'GET /v1/hf/api/whoami-v2',
    'POST /v1/hf/api/validate-yaml',
    'POST /v1/hf/api/repos/create',
    'DELETE /v1/hf/api/repos/delete',
    'POST /v1/hf/api/repos/move',
    ...hubRepo('datasets'),
    ...hubRepo('models'),
    'PUT /{namespace}/{repo}.git/info/lfs/objects/{oid}',
    'POST /{namespace}/{repo}.git/info/lfs/verify',
  ],
  customization: [
    ...entity('customization/configs', '{namespace}/{config_name}'),
    ...entity('customization/targets', '{namespace}/{target_name}'),
    'GET /v1/customization/jobs',
    'POST /v1/customization/jobs',
    'GET /v1/customization/jobs/{job_id}',
    'POST /v1/customization/jobs/{job_id}/cancel',
    'GET /v1/customization/jobs/{job_id}/container-logs',
    'GET /v1/customization/jobs/{job_id}/status',
    'POST /v1/customizations/{id}/cancel',
  ],
  deployment: [
    ...entity('deployment/configs', '{namespace}/{config_name}'),
    ...entity('deployment/model-deployments', '{namespace}/{deployment_name}'),
  ],
  inference: [
    'POST /v1/chat/completions',
    'POST /v1/completions',
    'POST /v1/embeddings',
    'POST /v1/classify',
    'POST /v1/ranking',
    'GET /v1/models',
    'GET /v1/health/ready',
    'GET /v1/health/live',
    'GET /v1/metadata',
    'GET /v1/version',
    'GET /v1/license',
    'GET /v1/metrics',
  ],
  guardrails: [
    ...entity('guardrail/configs', '{namespace}/{config_name}'),
    'POST /v1/guardrail/checks',
    'POST /v1/guardrail/chat/completions',
    'POST /v1/guardrail/completions',
    'GET /v1/guardrail/models',
  ],
}
