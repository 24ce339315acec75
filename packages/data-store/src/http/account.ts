// SPDX-License-Identifier: Apache-2.0
import { route } from '@open-nemo/runtime'
import { z } from 'zod'
import type { Hub } from './request.ts'

const yamlBody = z.looseObject({ content: z.string(), repoType: z.string().nullish() })

/** Who the client is (everyone is the same local user), and the check of a README's front matter. */
export function accountRoutes({ app, store }: Hub): void {
  route(
    app,
    { method: 'GET', path: '/v1/hf/api/whoami-v2', id: 'whoami', summary: 'Who am I' },
    async () => ({
      type: 'user',
      id: 'local',
      name: 'default',
      fullname: 'Local user',
      email: null,
      emailVerified: false,
      isPro: false,
      canPay: false,
      orgs: (await store.rows.namespaces()).map(({ namespace }) => ({
        type: 'org',
        id: namespace,
        name: namespace,
        fullname: namespace,
        roleInOrg: 'admin',
      })),
      auth: { type: 'access_token', accessToken: { displayName: 'local', role: 'write' } },
    }),
  )
  route(
    app,
    {
      method: 'POST',
      path: '/v1/hf/api/validate-yaml',
      id: 'validateYaml',
      summary: "Check the front matter of a repository's README",
      body: yamlBody,
    },
    ({ body }) => {
      const errors = frontMatterProblems(body.content).map((message) => ({ message }))
      return Response.json({ errors, warnings: [] }, { status: errors.length ? 400 : 200 })
    },
  )
}

/** What is wrong with the block between the `---` lines, as far as it can be told without reading all of YAML. */
export function frontMatterProblems(readme: string): string[] {
  const lines = readme.split(/\r?\n/)
  if (lines[0]?.trimEnd() !== '---') return []
  const end = lines.findIndex((line, i) => i > 0 && line.trimEnd() === '---')
  if (end < 0) return ['the front matter that starts on line 1 is not closed by a line ---']
  const problems: string[] = []
  const seen = new Set<string>()
  lines.slice(1, end).forEach((line, i) => {
    if (/^ *\t/.test(line)) problems.push(`line ${i + 2}: YAML does not allow tabs as indentation`)
    const key = /^([\w-]+):(\s|$)/.exec(line)?.[1]
    if (key && seen.has(key)) problems.push(`line ${i + 2}: the key ${key} is given twice`)
    if (key) seen.add(key)
  })
  return problems
}
