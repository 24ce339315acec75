// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { appendFile, chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startForGit } from '../git.testing.ts'
import { file } from '../testing.ts'

const ID = 'team/data'
const PATH = `/v1/hf/datasets/${ID}`
const HOOKS =
  'pre-receive update post-receive post-update reference-transaction proc-receive push-to-checkout pre-auto-gc'

describe('hostile pushes and repositories', () => {
  let server: Awaited<ReturnType<typeof startForGit>>
  let hub: typeof server.hub
  let gitDir: string
  const git = (cwd: string, ...args: string[]) => server.git(cwd, ...args)

  before(async () => {
    server = await startForGit({ NEMO_DATA_STORE_GC_AGE: '0' })
    hub = server.hub
    await hub.client.createRepo({ type: 'dataset', id: ID })
    const [id = ''] = await readdir(join(hub.dir, 'repos'))
    gitDir = join(hub.dir, 'repos', id)
  })
  after(() => server.close())

  /** All that the store has of git's: names of object files, refs and what is under way. */
  async function held(): Promise<string[]> {
    const files = await readdir(gitDir, { recursive: true, withFileTypes: true })
    const under = await readdir(join(hub.dir, 'tmp'))
    const refs = await git(gitDir, '-c', 'safe.directory=*', 'for-each-ref')
    return [...files.map((one) => join(one.parentPath, one.name)), ...under, refs].sort()
  }

  async function committed(work: string, files: Record<string, string>): Promise<string> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(work, path, '..'), { recursive: true })
      await writeFile(join(work, path), text)
    }
    await git(work, 'add', '--force', '.')
    await git(work, 'commit', '-q', '-m', 'change')
    return (await git(work, 'rev-parse', 'HEAD')).trim()
  }

  it('keeps no object of a push that was refused or broke off', async () => {
    const before = await held()
    const work = await server.clone(PATH, 'refused')
    const blob = (await git(work, 'hash-object', '-w', join(gitDir, 'HEAD'))).trim()
    // A tree with a folder `.git` would be written over the settings of whoever clones it.
    await writeFile(join(work, 'inner'), `100644 blob ${blob}\tconfig\n`)
    const inner = (await git(work, '-c', 'alias.m=!git mktree < inner', 'm')).trim()
    await writeFile(join(work, 'outer'), `040000 tree ${inner}\t.git\n`)
    const outer = (await git(work, '-c', 'alias.m=!git mktree < outer', 'm')).trim()
    const evil = (await git(work, 'commit-tree', '-p', 'HEAD', '-m', 'evil', outer)).trim()
    await assert.rejects(git(work, 'push', 'origin', `${evil}:refs/heads/main`), /hasDotgit|\.git/)
    const modules = '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n'
    await committed(work, { '.gitmodules': modules, 'large.txt': 'quarantined '.repeat(200_000) })
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:main'), /gitmodulesUrl/)
    await git(work, 'reset', '-q', '--hard', 'origin/main')
    const behind = await committed(work, { 'other.txt': 'of no branch', 'back\\slash': 'x' })
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:main'), /backslash/)
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:refs/pr/1'), /refs\/pr\/1/)
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:refs/replace/x'), /not a branch or a tag/)
    await assert.rejects(git(work, 'push', '-o', 'ci.skip', 'origin', 'HEAD:main'), /push options/)
    await breakOff(`${server.url}${PATH}/git-receive-pack`)
    assert.deepEqual(await held(), before)
    // Not even for one who knows its name.
    const other = await server.clone(PATH, 'other')
    await assert.rejects(git(other, 'fetch', 'origin', behind), /not our ref|unadvertised/)
    assert.equal((await hub.request(`${PATH}/resolve/${behind}/other.txt`)).status, 404)
  })

  it('runs nothing that a push or the settings of a repository name', async () => {
    const ran = join(server.dir, 'ran')
    const script = join(server.dir, 'evil.sh')
    await writeFile(script, `#!/bin/sh\necho "$0 $*" >> ${ran}\n[ -t 0 ] || cat\nexit 0\n`)
    await chmod(script, 0o755)
    // What a push can bring: settings, hooks and attributes are files like any other.
    const work = await server.clone(PATH, 'evil')
    await committed(work, {
      '.gitattributes': '* filter=evil diff=evil merge=evil\n',
      config: settings(script),
      '.gitconfig': settings(script),
      '.lfsconfig': `[lfs]\n\turl = http://127.0.0.1:1/\n`,
      HEAD: 'ref: refs/heads/evil\n',
      'hooks/post-receive': await readFile(script, 'utf8'),
      'text.txt': 'as it was pushed\n',
    })
    await git(work, 'push', '-q', 'origin', 'HEAD:main')
    // What somebody could have left in the folder.
    await mkdir(join(gitDir, 'hooks'), { recursive: true })
    await mkdir(join(gitDir, 'info'), { recursive: true })
    for (const name of HOOKS.split(' ')) {
      await writeFile(join(gitDir, 'hooks', name), await readFile(script))
      await chmod(join(gitDir, 'hooks', name), 0o755)
    }
    await writeFile(join(gitDir, 'info', 'attributes'), '* filter=evil diff=evil merge=evil\n')
    await appendFile(join(gitDir, 'config'), settings(script, join(gitDir, 'hooks')))
    await everything(work)
    assert.equal(existsSync(ran), false, await readFile(ran, 'utf8').catch(() => ''))
    // The checks of a push stand whatever the settings say.
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 5\n`
    await committed(work, { 'lost.bin': pointer })
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:refs/heads/next'), /lost\.bin points to/)
    await git(work, 'reset', '-q', '--hard', 'HEAD~1')
    await committed(work, { '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n' })
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:refs/heads/next'), /gitmodulesUrl/)
    // The same folder does run them for a git that is not told otherwise.
    const open = ['-c', 'safe.directory=*', 'push', '-q', gitDir, 'HEAD:refs/heads/control']
    await git(work, ...open).catch(() => '')
    assert.ok(existsSync(ran), 'the trap does not work')
  })

  /** Clone, push, commit, read, compare, list and collect. */
  async function everything(work: string): Promise<void> {
    await committed(work, { 'more.txt': 'by git' })
    await git(work, 'push', '-q', 'origin', 'HEAD:main', 'HEAD:refs/heads/side')
    const committedByHub = await hub.commit(ID, [file('hub.txt', 'by the hub')])
    assert.equal(committedByHub.status, 200, await committedByHub.text())
    const again = await server.clone(PATH, 'again')
    assert.equal(await readFile(join(again, 'hub.txt'), 'utf8'), 'by the hub')
    for (const [path, text] of [
      ['text.txt', 'as it was pushed\n'],
      ['.gitattributes', '* filter=evil diff=evil merge=evil\n'],
    ] as const)
      assert.equal(await (await hub.request(`${PATH}/resolve/main/${path}`)).text(), text)
    for (const path of ['tree/main?recursive=true&expand=true', 'commits/main', 'refs', 'revision/side'])
      assert.equal((await hub.request(`/v1/hf/api/datasets/${ID}/${path}`)).status, 200, path)
    await git(work, 'push', '-q', 'origin', ':side')
    assert.equal((await hub.post('/v1/datastore/collect', {})).status, 200)
  }
})

/** Settings that would have git run the script, or take what it is not to take. */
function settings(script: string, hooks = 'hooks'): string {
  return `
[core]
	hooksPath = ${hooks}
	fsmonitor = ${script}
	sshCommand = ${script}
	gitProxy = ${script}
	editor = ${script}
	pager = ${script}
	alternateRefsCommand = ${script}
[receive]
	fsckObjects = false
	hideRefs = !refs/pr
	advertisePushOptions = true
	denyCurrentBranch = updateInstead
	autogc = true
[transfer]
	fsckObjects = false
[uploadpack]
	packObjectsHook = ${script}
	allowAnySHA1InWant = true
[gc]
	auto = 1
[gpg]
	program = ${script}
[credential]
	helper = ${script}
[diff]
	external = ${script}
[filter "evil"]
	clean = ${script}
	smudge = ${script}
	process = ${script}
	required = true
[diff "evil"]
	command = ${script}
	textconv = ${script}
[merge "evil"]
	driver = ${script}
`
}

/** A push whose sender goes in the middle. */
async function breakOff(url: string): Promise<void> {
  const headers = { 'content-type': 'application/x-git-receive-pack-request', 'content-length': '1000000' }
  const sent = request(url, { method: 'POST', headers })
  sent.on('error', () => {})
  sent.write(Buffer.alloc(200_000, 'x'))
  await sleep(100)
  sent.destroy()
  await sleep(200)
}
