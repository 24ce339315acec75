// SPDX-License-Identifier: Apache-2.0
// The config store as pods have it: a ConfigMap, whose files are links that the kubelet swaps, or a volume.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Script, said, startTestService } from './testing.ts'

const script: Script = (call) => `told: ${said(call)}`
const undo: (() => Promise<unknown>)[] = []
after(async () => {
  for (const step of undo.reverse()) await step()
})

async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-config-store-'))
  undo.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Does what the kubelet does: a folder of this state, `..data` moved over to it, and a link for each file. */
async function mount(dir: string, state: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(dir, `..${state}`))
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, `..${state}`, name), text)
  await symlink(`..${state}`, join(dir, '..data_tmp'))
  await rename(join(dir, '..data_tmp'), join(dir, '..data'))
  for (const name of Object.keys(files))
    await symlink(join('..data', name), join(dir, name)).catch((err) => assert.equal(err.code, 'EEXIST'))
}

async function start(dir: string, id = 'default') {
  // As packages/operator/src/guardrail/kind.ts sets them.
  const t = await startTestService(script, {
    CONFIG_STORE_PATH: dir,
    DEFAULT_CONFIG_ID: id,
    NEMO_GUARDRAILS_SERVER_ENABLE_CORS: 'False',
    NEMO_GUARDRAILS_SERVER_ALLOWED_ORIGINS: '*',
  })
  undo.push(() => t.stop())
  const ask = async (content: string, config_id?: string) => {
    const body = {
      model: 'm',
      messages: [{ role: 'user', content }],
      ...(config_id && { guardrails: { config_id } }),
    }
    const answer = await t.call('POST', '/chat/completions', body)
    return answer.body.choices?.[0]?.message.content ?? answer.raw
  }
  return { t, ask }
}

const rails = (word: string) => ({
  'config.yml': 'rails:\n  input: {flows: [no word]}\n',
  'rails.co':
    `define bot refuse word\n  "Not ${word}."\n\n` +
    `define subflow no word\n  if "${word}" in $user_message\n    bot refuse word\n    stop\n`,
})

test('a mounted ConfigMap is the default configuration, once, and its changes are seen', async () => {
  const dir = await folder()
  await mount(dir, '2026_11_24_01', rails('rude'))
  const { t, ask } = await start(dir)
  assert.equal(await ask('a rude word'), 'Not rude.')
  assert.equal(await ask('a kind word'), 'told: a kind word')
  const { body } = await t.call('GET', '/configs')
  const names = (body.data as { namespace: string; name: string }[]).map((c) => `${c.namespace}/${c.name}`)
  assert.deepEqual(names.sort(), ['default/default', 'default/self-check'])
  await mount(dir, '2026_11_24_02', rails('loud'))
  await rm(join(dir, '..2026_11_24_01'), { recursive: true })
  for (let i = 0; i < 50 && (await ask('a loud word')) !== 'Not loud.'; i++) await sleep(100)
  assert.equal(await ask('a loud word'), 'Not loud.')
  assert.equal(await ask('a rude word'), 'told: a rude word')
})

test('an empty ConfigMap, as the chart makes it, leaves the built-in configurations', async () => {
  const dir = await folder()
  await mount(dir, '2026_11_24_01', {})
  const { ask } = await start(dir)
  assert.equal(await ask('a rude word'), 'told: a rude word')
})

test('a volume holds one configuration a subfolder; what is none of them does not matter', async () => {
  const dir = await folder()
  await mkdir(join(dir, 'lost+found'), { mode: 0o700 })
  await writeFile(join(dir, 'notes.txt'), 'of the administrator')
  for (const [name, word] of [
    ['first', 'rude'],
    ['second', 'loud'],
  ] as const) {
    await mkdir(join(dir, name))
    for (const [file, text] of Object.entries(rails(word))) await writeFile(join(dir, name, file), text)
  }
  const { ask } = await start(dir, 'first')
  assert.equal(await ask('a rude and loud word'), 'Not rude.')
  assert.equal(await ask('a rude and loud word', 'second'), 'Not loud.')
})
