// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import type { Judge } from '../judge/judge.ts'
import type { ScoreValue } from '../types.ts'

/** What a RAG system answered, and what it was given. */
export interface Answered {
  question: string
  answer: string
  contexts: string[]
  /** The right answer; metrics that need it say so when it is not there. */
  reference: string | undefined
}

/** What judges a metric. */
export interface JudgeTools {
  judge: Judge
  embed(texts: string[]): Promise<number[][]>
}

export interface RagMetric {
  needsReference: boolean
  needsContexts: boolean
  needsEmbeddings: boolean
  score(sample: Answered, tools: JudgeTools): Promise<ScoreValue>
}

const statements = z.object({ statements: z.array(z.string()) })
const verdict = z
  .union([z.boolean(), z.number(), z.string()])
  .transform((value) => /^(1|true|yes)$/i.test(String(value)))
const verdicts = z.object({ verdicts: z.array(z.object({ verdict })) })
const usefulness = z.object({ verdict })
const attributions = z.object({ classifications: z.array(z.object({ attributed: verdict })) })
const guessed = z.object({
  questions: z.array(z.object({ question: z.string(), noncommittal: verdict.default(false) })).min(1),
})
const rating = z.object({ rating: z.coerce.number() })

const QUESTIONS = 3
const BEST_RATING = 4

/** The metrics of answers by a judge. Each prompt asks for JSON; docs/evaluator.md shows what of. */
export const RAG_METRICS: Record<string, RagMetric> = {
  faithfulness: {
    needsReference: false,
    needsContexts: true,
    needsEmbeddings: false,
    /** Share of the answer's statements that follow from the contexts. */
    async score({ question, answer, contexts }, { judge }) {
      const { statements: parts } = await judge.ask(
        'Split the answer into short statements that each make sense alone, without pronouns. ' +
          `Answer as JSON: {"statements": ["…"]}\n\nQuestion: ${question}\nAnswer: ${answer}`,
        statements,
      )
      if (parts.length === 0) return null
      const found = await judge.ask(
        'Say for each statement whether it follows from the context alone: 1 if it does, else 0. Answer as JSON, in the ' +
          `same order: {"verdicts": [{"verdict": 1}]}\n\nContext:\n${contexts.join('\n')}\n\nStatements:\n${numbered(parts)}`,
        verdicts.refine(
          (all) => all.verdicts.length === parts.length,
          `there are ${parts.length} statements`,
        ),
      )
      return share(found.verdicts.map((one) => one.verdict))
    },
  },
  answer_relevancy: {
    needsReference: false,
    needsContexts: false,
    needsEmbeddings: true,
    /** How near the questions that the answer would answer are to the one that was asked; 0 for an evasive answer. */
    async score({ question, answer }, { judge, embed }) {
      const { questions } = await judge.ask(
        `Write ${QUESTIONS} questions that the answer would answer. Mark each with noncommittal 1 if the answer is evasive or ` +
          `vague, else 0. Answer as JSON: {"questions": [{"question": "…", "noncommittal": 0}]}\n\nAnswer: ${answer}`,
        guessed,
      )
      if (questions.some((one) => one.noncommittal)) return 0
      const [asked = [], ...others] = await embed([question, ...questions.map((one) => one.question)])
      return others.reduce((sum, one) => sum + cosine(asked, one), 0) / others.length
    },
  },
  context_precision: {
    needsReference: true,
    needsContexts: true,
    needsEmbeddings: false,
    /** Average precision of the contexts' order: useful ones should stand first. */
    async score({ question, contexts, reference }, { judge }) {
      const useful: boolean[] = []
      for (const context of contexts) {
        const found = await judge.ask(
          'Was the context useful to arrive at the answer? 1 if it was, else 0. Answer as JSON: {"verdict": 1}\n\n' +
            `Question: ${question}\nAnswer: ${reference}\nContext: ${context}`,
          usefulness,
        )
        useful.push(found.verdict)
      }
      const hits = useful.filter(Boolean).length
      if (hits === 0) return 0
      return (
        useful.reduce(
          (sum, one, at) => (one ? sum + useful.slice(0, at + 1).filter(Boolean).length / (at + 1) : sum),
          0,
        ) / hits
      )
    },
  },
  context_recall: {
    needsReference: true,
    needsContexts: true,
    needsEmbeddings: false,
    /** Share of the right answer's sentences that the contexts hold. */
    async score({ question, contexts, reference }, { judge }) {
      const { classifications } = await judge.ask(
        'Say for each sentence of the answer whether it can be attributed to the context: 1 if it can, else 0. Answer as ' +
          `JSON: {"classifications": [{"statement": "…", "attributed": 1}]}\n\nQuestion: ${question}\n` +
          `Context:\n${contexts.join('\n')}\n\nAnswer: ${reference}`,
        attributions,
      )
      return share(classifications.map((one) => one.attributed))
    },
  },
  answer_accuracy: {
    needsReference: true,
    needsContexts: false,
    needsEmbeddings: false,
    /** How far the answer agrees with the right one, as the mean of two ratings with the roles changed. */
    async score(sample, { judge }) {
      const [one, other] = [sample.answer, sample.reference ?? '']
      const ratings = [
        await agreement(judge, sample.question, one, other),
        await agreement(judge, sample.question, other, one),
      ]
      return ratings.reduce((sum, value) => sum + value, 0) / ratings.length
    },
  },
  answer_similarity: {
    needsReference: true,
    needsContexts: false,
    needsEmbeddings: true,
    /** Cosine of the answer and the right one. */
    async score({ answer, reference }, { embed }) {
      const [one = [], other = []] = await embed([answer, reference ?? ''])
      return cosine(one, other)
    },
  },
}

/** Other names of these metrics, in ragas and in older releases. */
export const RAG_ALIASES: Record<string, string> = {
  response_relevancy: 'answer_relevancy',
  answer_relevance: 'answer_relevancy',
  llm_context_precision_with_reference: 'context_precision',
  semantic_similarity: 'answer_similarity',
}

async function agreement(judge: Judge, question: string, answer: string, reference: string): Promise<number> {
  const found = await judge.ask(
    'Rate how far the answer agrees with the reference: 4 if it says the same, 2 if in part, 0 if it does not or is ' +
      `about something else. Answer as JSON: {"rating": 4}\n\nQuestion: ${question}\nAnswer: ${answer}\nReference: ${reference}`,
    rating,
  )
  return Math.min(BEST_RATING, Math.max(0, found.rating)) / BEST_RATING
}

const numbered = (parts: readonly string[]) => parts.map((part, at) => `${at + 1}. ${part}`).join('\n')

function share(verdicts: readonly boolean[]): ScoreValue {
  return verdicts.length === 0 ? null : verdicts.filter(Boolean).length / verdicts.length
}

function cosine(a: readonly number[], b: readonly number[]): number {
  let [dot, left, right] = [0, 0, 0]
  for (let at = 0; at < a.length; at++) {
    const [x, y] = [a[at] ?? 0, b[at] ?? 0]
    dot += x * y
    left += x * x
    right += y * y
  }
  return left === 0 || right === 0 ? 0 : dot / Math.sqrt(left * right)
}
