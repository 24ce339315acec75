// SPDX-License-Identifier: Apache-2.0
import type { ServiceName } from '@open-nemo/contract'
import type { ServiceDefinition } from '@open-nemo/runtime'

/** The services of this version. Each is loaded when it starts, so that a pod loads only its own. */
export const SERVICES: Partial<Record<ServiceName, () => Promise<ServiceDefinition>>> = {
  'entity-store': async () => (await import('@open-nemo/entity-store')).service,
  'data-store': async () => (await import('@open-nemo/data-store')).service,
  inference: async () => (await import('@open-nemo/inference')).service,
  customizer: async () => (await import('@open-nemo/customizer')).service,
  evaluator: async () => (await import('@open-nemo/evaluator')).service,
  guardrails: async () => (await import('@open-nemo/guardrails/service.ts')).service,
}

/** Port that a service listens on when it runs alone. */
export const DEFAULT_PORTS: Record<ServiceName, number> = {
  'entity-store': 8000,
  'data-store': 3000,
  customizer: 8000,
  inference: 8000,
  evaluator: 7331,
  guardrails: 7331,
}

/** In-cluster URL of each service, known to the platform's own fetch without DNS. */
export const SERVICE_URLS: Record<ServiceName, string> = {
  'entity-store': 'http://nemo-entity-store:8000',
  'data-store': 'http://nemo-data-store:3000',
  customizer: 'http://nemo-customizer:8000',
  inference: 'http://nemo-nim-proxy:8000',
  evaluator: 'http://nemo-evaluator:7331',
  guardrails: 'http://nemo-guardrails:7331',
}
