// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { REFUSED } from '../refused.ts'

/** The folder of lm-eval's requirements, its program and the list of its tasks. */
export const LM_EVAL_DIR = fileURLToPath(new URL('../../../lm-eval/', import.meta.url))

/** What a task of lm-eval asks of a model. */
export interface HarnessTask {
  name: string
  /** Answers in its own words. */
  isGenerated: boolean
  /** Log-probabilities of given texts, which only completion endpoints tell. */
  isScored: boolean
  /** It runs code that the model wrote. */
  isUnsafe: boolean
  /** Several tasks under one name. */
  isGroup: boolean
}

let known: Map<string, string> | undefined

// Made by lm-eval/list_tasks.py from the pinned release, so that a name is known without Python.
function names(): Map<string, string> {
  if (known) return known
  const text = gunzipSync(readFileSync(`${LM_EVAL_DIR}tasks.txt.gz`)).toString('utf8')
  known = new Map(text.split('\n').map((line) => line.split(' ', 2) as [string, string]))
  return known
}

/** A task, group or tag of lm-eval by its name; undefined when there is none. */
export function harnessTask(name: string): HarnessTask | undefined {
  const letters = name ? names().get(name) : undefined
  if (letters === undefined) return undefined
  const has = (letter: string) => letters.includes(letter)
  return {
    name,
    isGenerated: has('g'),
    isScored: has('l') || has('r') || has('?'),
    isUnsafe: has('u'),
    isGroup: has('G'),
  }
}

const OWN_TYPE = /^lm[-_ ]?eval(uation)?([-_ ]?harness)?$|^lm[-_]harness$/i

/** Whether a type means lm-evaluation-harness as such, not one of its tasks. */
export const isHarness = (type: string) => OWN_TYPE.test(type)

/** Whether lm-eval evaluates a type: its own name, or that of one of its tasks that is not refused. */
export function isHandled(type: string): boolean {
  if (isHarness(type)) return true
  return !REFUSED.some((one) => one.pattern.test(type)) && harnessTask(type) !== undefined
}
