// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ensureTrainerEnvironment, findPip, findPython, indexArguments, runCommand } from './index.ts'

let dir = ''
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-python-'))
})
after(async () => {
  await rm(dir, { recursive: true, force: true })
})

async function fakePython(name: string, script: string): Promise<string> {
  const path = join(dir, name)
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

describe('findPython', () => {
  it('finds one of at least 3.11', async () => {
    const python = await findPython(process.env)
    assert.match(python.version, /^3\.1[1-9]|^3\.[2-9]\d/)
  })

  it('says what it found when that is too old', async () => {
    const old = await fakePython('old', 'echo 3.9.2')
    await assert.rejects(findPython({ NEMO_PYTHON: old }), /old is 3\.9\.2.*set NEMO_PYTHON/)
  })

  it('says so when there is none', async () => {
    await assert.rejects(findPython({ NEMO_PYTHON: join(dir, 'absent') }), /could not be started/)
  })
})

describe('findPip', () => {
  it('says what to install when Python has neither pip nor venv', async () => {
    const bare = await fakePython(
      'bare',
      'if [ "$1" = -c ]; then echo 3.12.1; else echo "No module named $2" >&2; exit 1; fi',
    )
    await assert.rejects(findPip(dir, { NEMO_PYTHON: bare }), /neither pip nor a working venv.*python3-venv/)
  })
})

describe('ensureTrainerEnvironment', () => {
  it('takes the named interpreter without building anything', async () => {
    const found = await ensureTrainerEnvironment(dir, {
      env: { NEMO_TRAINER_PYTHON: '/opt/python', PYTHONPATH: '/x' },
    })
    assert.equal(found.python, '/opt/python')
    assert.match(found.env.PYTHONPATH ?? '', /trainer\/src:\/x$/)
  })
})

describe('indexArguments', () => {
  it('hands on the indexes that the user named', () => {
    assert.deepEqual(indexArguments({}), [])
    assert.deepEqual(indexArguments({ NEMO_PIP_INDEX_URL: 'https://a/simple' }), [
      '--default-index',
      'https://a/simple',
    ])
    assert.deepEqual(indexArguments({ NEMO_PIP_EXTRA_INDEX_URL: 'https://cpu' }), [
      '--index',
      'https://cpu',
      '--index-strategy',
      'unsafe-best-match',
    ])
  })
})

describe('runCommand', () => {
  it('gives output and lines, and keeps the end of what a failed command wrote', async () => {
    const lines: string[] = []
    const out = await runCommand('sh', ['-c', 'echo a; printf "b\\rc\\n"'], {
      onLine: (line) => lines.push(line),
    })
    assert.equal(out, 'a\nb\rc\n')
    assert.deepEqual(lines, ['a', 'b', 'c'])
    await assert.rejects(runCommand('sh', ['-c', 'echo broken >&2; exit 3']), /ended with 3: broken/)
  })
})
