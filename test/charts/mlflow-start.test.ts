// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { infraChart } from './helm.ts'

/** Runs Python with the start script imported as `start`. */
const python = (code: string) =>
  spawnSync(
    'python3',
    [
      '-c',
      `import importlib.util as u, sys\nspec = u.spec_from_file_location("start", sys.argv[1])\nstart = u.module_from_spec(spec)\nspec.loader.exec_module(start)\n${code}`,
      join(infraChart, 'files/mlflow-start.py'),
    ],
    { encoding: 'utf8' },
  )
const skip = python('').error ? 'there is no python3' : false

test("MLflow's database URI keeps every printable character of the password", { skip }, () => {
  const result = python(`
from urllib.parse import unquote, urlsplit
password = "".join(map(chr, range(32, 127)))
env = {"DATABASE_USER": "mlflow", "DATABASE_HOST": "x-postgresql", "DATABASE_NAME": "mlflow"}
parts = urlsplit(start.database_uri(env, password))
assert unquote(parts.password) == password, parts
assert (parts.hostname, parts.port, parts.path, parts.username) == ("x-postgresql", 5432, "/mlflow", "mlflow"), parts
`)
  assert.equal(result.status, 0, result.stderr)
})

test('a database that is not there yet is waited for, and the last error is shown', { skip }, () => {
  const result = python(`
start.time.sleep = lambda seconds: None
calls = []
def attempt():
    calls.append(1)
    if len(calls) < 3: raise OSError("no route")
    return "up"
assert start.until("it", attempt) == "up" and len(calls) == 3
def never(): raise OSError("still no route")
try:
    start.until("it", never)
    raise SystemExit("no error")
except OSError as error:
    assert "still" in str(error)
`)
  assert.equal(result.status, 0, result.stderr)
})
