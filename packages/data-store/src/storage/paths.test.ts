// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '@open-nemo/contract'
import { checkFolder, checkNamespace, checkPath, checkRefName, checkRepoName, isRefName } from './paths.ts'

const refused = (err: unknown) => err instanceof ApiError && err.status === 400

test('plain paths are taken as they are', () => {
  for (const path of [
    'a',
    'a/b.txt',
    '.gitattributes',
    'git/x',
    'ü/😀 x',
    'a..b/...c',
    '-rf',
    'a:b',
    '"q"',
  ]) {
    assert.equal(checkPath(path), path)
  }
  assert.equal(checkPath('./a/b.txt'), 'a/b.txt')
  assert.equal(checkFolder(''), '')
  assert.equal(checkFolder('a/b//'), 'a/b')
})

test('hostile paths are refused, and the message names them', () => {
  const cases = [
    '',
    '/etc/passwd',
    '//x',
    '..',
    '../x',
    'a/../../x',
    'a/./b',
    './',
    './../x',
    './/etc/passwd',
    'a//b',
    'a/',
    'a\\..\\b',
    'C:\\x',
    'a\0b',
    'a\nb',
    '\u007f',
    '.git',
    '.GIT/config',
    'a/.git/hooks/x',
    '.git./x',
    '.git /x',
    'GIT~1/x',
    '.g\u200cit/x',
    '.git::$INDEX_ALLOCATION/x',
    '\ud800',
    'x'.repeat(256),
    'ab/'.repeat(800),
  ]
  for (const path of cases) {
    assert.throws(() => checkPath(path), refused, JSON.stringify(path))
  }
  assert.throws(() => checkPath('a/../b'), /"a\/\.\.\/b"/)
  assert.throws(() => checkPath(undefined), refused)
  assert.throws(() => checkFolder('/'), refused)
})

test('names of namespaces, repositories and refs', () => {
  assert.equal(checkNamespace('my-ns_1.x'), 'my-ns_1.x')
  assert.equal(checkRepoName('llama-3.2-1b'), 'llama-3.2-1b')
  for (const name of [
    '',
    '-a',
    '.a',
    'a.',
    'a/b',
    'a..b',
    'a b',
    'é',
    'a'.repeat(97),
    'api',
    'Datasets',
    7,
  ]) {
    assert.throws(() => checkNamespace(name), refused, String(name))
  }
  for (const name of ['', '-a', '.git', 'x.git', 'a..b', 'a/b', '..', 'a@v1', null]) {
    assert.throws(() => checkRepoName(name), refused, String(name))
  }
  for (const name of ['main', 'feat/x', 'refs/pr/1', 'v1.0.0+cpu', 'a@b', 'ü'])
    assert.equal(checkRefName(name), name)
  const bad = [
    '',
    '-x',
    '/x',
    'x/',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    'a@{1}',
    '@',
    'a.lock',
  ]
  for (const name of [...bad, '.a', 'a/.b', 'a//b', 'a.', 'a\nb', 'a\0'])
    assert.equal(isRefName(name), false, name)
})
