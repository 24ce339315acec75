// SPDX-License-Identifier: Apache-2.0
// Rights as `verb resource.group`, one each: those that a Role holds, and those that requests took.

export interface Rule {
  apiGroups: string[]
  resources: string[]
  resourceNames?: string[]
  verbs: string[]
}

const right = (verb: string, group: string, resource: string) => `${verb} ${resource}${group && `.${group}`}`

/** Every right of some rules. */
export function rightsOf(rules: Rule[]): Set<string> {
  const found = new Set<string>()
  for (const { apiGroups, resources, verbs } of rules)
    for (const group of apiGroups)
      for (const resource of resources) for (const verb of verbs) found.add(right(verb, group, resource))
  return found
}

export interface Request {
  method: string
  path: string
  status?: number
}

const VERBS: Record<string, string> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }
const OBJECT =
  /^\/(?:api\/v1|apis\/([^/]+)\/[^/]+)(?:\/namespaces\/[^/]+)?\/([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/

/** The rights that a request needed, as RBAC sees it; none for discovery and schemas, which everybody may read. */
export function neededFor({ method, path, status }: Request): string[] {
  const url = new URL(path, 'http://api')
  const [, group = '', plural = '', name, subresource] = OBJECT.exec(url.pathname) ?? []
  if (!plural) return []
  const resource = subresource ? `${plural}/${subresource}` : plural
  if (method === 'GET') {
    const verb = url.searchParams.has('watch') ? 'watch' : name ? 'get' : 'list'
    return [right(verb, group, resource)]
  }
  const needed = [right(VERBS[method] ?? method, group, resource)]
  // An apply that makes the object takes the right to make it too.
  if (method === 'PATCH' && status === 201) needed.push(right('create', group, resource))
  return needed
}
