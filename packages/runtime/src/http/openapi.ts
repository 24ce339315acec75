// SPDX-License-Identifier: Apache-2.0
import { errorResponse } from '@open-nemo/contract'
import { z } from 'zod'
import type { RouteInfo } from './route.ts'

/** Builds the OpenAPI 3.1 document of a service from the schemas that validate its requests. */
export function openApiDocument(
  routes: readonly RouteInfo[],
  info: { name: string; title?: string; version?: string },
): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const r of routes) {
    const path = r.path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}')
    paths[path] = { ...paths[path], [r.method.toLowerCase()]: operation(r, info.name) }
  }
  return {
    openapi: '3.1.0',
    info: { title: info.title ?? `Open NeMo ${info.name}`, version: info.version ?? '0.1.0' },
    paths,
  }
}

function operation(r: RouteInfo, tag: string): Record<string, unknown> {
  const params = [...r.path.matchAll(/:(\w+)/g)].map((m) => ({
    name: m[1],
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  return {
    operationId: r.id,
    summary: r.summary,
    tags: [tag],
    parameters: [...params, ...queryParameters(r.query)],
    ...(r.body ? { requestBody: { required: true, content: json(r.body, 'input') } } : {}),
    responses: {
      [r.status]: { description: 'Success', ...(r.response ? { content: json(r.response, 'output') } : {}) },
      ...(r.body || r.query
        ? { 422: { description: 'Validation error', content: json(errorResponse, 'output') } }
        : {}),
      default: { description: 'Error', content: json(errorResponse, 'output') },
    },
  }
}

function queryParameters(schema: z.ZodType | undefined): unknown[] {
  if (!schema) return []
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, { type?: string }>
    required?: string[]
  }
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(property.type === 'object' ? { style: 'deepObject', explode: true } : {}),
    schema: property,
  }))
}

function json(schema: z.ZodType, io: 'input' | 'output') {
  return { 'application/json': { schema: jsonSchema(schema, io) } }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}
