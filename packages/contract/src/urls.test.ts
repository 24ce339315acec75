// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { externalEndpoint } from './deployment/schemas.ts'
import { apiEndpoint } from './entity-store/schemas.ts'

const SCHEMAS = [
  ['api_endpoint', (url: string) => apiEndpoint.safeParse({ url, model_id: 'm' })],
  ['external_endpoint', (url: string) => externalEndpoint.safeParse({ host_url: url })],
] as const

for (const [name, parse] of SCHEMAS) {
  test(`the URL of an ${name} has no user or password, and what is said of it does not repeat them`, () => {
    for (const url of ['https://api.example/v1', 'http://[::1]:8000/v1/@me', 'http://h/v1?who=a@b'])
      assert.ok(parse(url).success, url)
    for (const url of ['https://me:hunter2@api.example/v1', 'http://hunter2@h/v1', 'http://:hunter2@h']) {
      const { error } = parse(url)
      assert.match(JSON.stringify(error?.issues), /_?url".*api_key/, url)
      assert.doesNotMatch(JSON.stringify(error?.issues), /hunter2/)
    }
    for (const url of ['', 'ftp://h', 'me:hunter2@h', 'http://'])
      assert.match(JSON.stringify(parse(url).error?.issues), /http or https URL/, url)
  })
}
