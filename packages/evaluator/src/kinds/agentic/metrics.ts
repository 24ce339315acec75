// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import type { Judge } from '../judge/judge.ts'
import { RAG_METRICS } from '../rag/metrics.ts'
import type { Row, ScoreValue } from '../types.ts'
import { readCalls, readTurns, toolCallAccuracy, transcript } from './tool-calls.ts'

/** A metric of what an agent did. */
export interface AgenticMetric {
  /** Name of its score. */
  score: string
  needsJudge: boolean
  evaluate(row: Row, judge: Judge | undefined, params: Row): Promise<ScoreValue>
}

const verdict = z
  .union([z.boolean(), z.number(), z.string()])
  .transform((value) => /^(1|true|yes)$/i.test(String(value)))
const goal = z.object({ user_goal: z.string(), end_state: z.string() })
const same = z.object({ verdict })
const topics = z.object({ topics: z.array(z.object({ topic: z.string(), refused: verdict.default(false) })) })
const matches = z.object({ classifications: z.array(verdict) })
const trajectory = z.object({ score: z.coerce.number() })

const TRAJECTORY_BEST = 5

const toolCalls: AgenticMetric = {
  score: 'tool_call_accuracy',
  needsJudge: false,
  async evaluate(row) {
    const made =
      row.user_input === undefined
        ? readCalls(row.tool_calls)
        : readTurns(row.user_input).flatMap((one) => one.calls)
    return toolCallAccuracy(made, readCalls(row.reference_tool_calls ?? row.expected_tool_calls))
  },
}

const goalWithReference: AgenticMetric = {
  score: 'agent_goal_accuracy',
  needsJudge: true,
  evaluate: (row, judge) => goalAccuracy(row, need(judge), text(row, ['reference', 'ground_truth'])),
}

const goalWithoutReference: AgenticMetric = {
  score: 'agent_goal_accuracy',
  needsJudge: true,
  evaluate: (row, judge) => goalAccuracy(row, need(judge), undefined),
}

/** Metrics by the type of a task or of a metric. */
export const AGENTIC_METRICS: Record<string, AgenticMetric> = {
  tool_call_accuracy: toolCalls,
  agent_goal_accuracy: {
    score: 'agent_goal_accuracy',
    needsJudge: true,
    evaluate: (row, judge, params) =>
      (row.reference === undefined ? goalWithoutReference : goalWithReference).evaluate(row, judge, params),
  },
  goal_accuracy_with_reference: goalWithReference,
  goal_accuracy_without_reference: goalWithoutReference,
  agent_goal_accuracy_with_reference: goalWithReference,
  agent_goal_accuracy_without_reference: goalWithoutReference,
  topic_adherence: { score: 'topic_adherence', needsJudge: true, evaluate: topicAdherence },
  answer_accuracy: {
    score: 'answer_accuracy',
    needsJudge: true,
    async evaluate(row, judge) {
      const sample = {
        question: text(row, ['user_input', 'question', 'query']),
        answer: text(row, ['response', 'generated_answer', 'answer', 'output']),
        reference: text(row, ['reference', 'ground_truth', 'expected_answer']),
        contexts: [],
      }
      return RAG_METRICS.answer_accuracy?.score(sample, { judge: need(judge), embed: async () => [] }) ?? null
    },
  },
  trajectory_evaluation: { score: 'trajectory_evaluation', needsJudge: true, evaluate: trajectoryScore },
  trajectory: { score: 'trajectory_evaluation', needsJudge: true, evaluate: trajectoryScore },
}

/** 1 when the conversation ends in what the user wanted, or in the reference where there is one; else 0. */
async function goalAccuracy(row: Row, judge: Judge, reference: string | undefined): Promise<ScoreValue> {
  const said = transcript(readTurns(row.user_input))
  const found = await judge.ask(
    'Say what the user wanted in this conversation, and what state it ended in. Answer as JSON: ' +
      `{"user_goal": "…", "end_state": "…"}\n\n${said}`,
    goal,
  )
  const wanted = reference ?? found.user_goal
  const compared = await judge.ask(
    'Do the desired outcome and the outcome that was reached agree? 1 if they do, else 0. Answer as JSON: {"verdict": 1}\n\n' +
      `Desired: ${wanted}\nReached: ${found.end_state}`,
    same,
  )
  return compared.verdict ? 1 : 0
}

/** How well the agent kept to the reference topics: precision, recall or f1 (params.metric_mode) over the topics asked about. */
async function topicAdherence(row: Row, given: Judge | undefined, params: Row): Promise<ScoreValue> {
  const judge = need(given)
  const allowed = row.reference_topics
  if (!Array.isArray(allowed)) throw new Error('the row has no reference_topics')
  const { topics: asked } = await judge.ask(
    'List the topics that the user asked about in this conversation. Mark each with refused 1 if the agent refused to ' +
      `answer, else 0. Answer as JSON: {"topics": [{"topic": "…", "refused": 0}]}\n\n${transcript(readTurns(row.user_input))}`,
    topics,
  )
  if (asked.length === 0) return null
  const { classifications } = await judge.ask(
    `Say for each topic whether it belongs to one of these: ${allowed.join(', ')}. 1 if it does, else 0, in the same order. ` +
      `Answer as JSON: {"classifications": [1]}\n\n${asked.map((one, at) => `${at + 1}. ${one.topic}`).join('\n')}`,
    matches.refine((all) => all.classifications.length === asked.length, `there are ${asked.length} topics`),
  )
  const [kept, strayed, missed] = countTopics(asked, classifications)
  const precision = kept + strayed === 0 ? 0 : kept / (kept + strayed)
  const recall = kept + missed === 0 ? 0 : kept / (kept + missed)
  const mode = params.metric_mode ?? 'f1'
  if (mode === 'precision') return precision
  if (mode === 'recall') return recall
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall)
}

/** Answered topics that are allowed, answered ones that are not, and allowed ones that were refused. */
function countTopics(asked: { refused: boolean }[], allowed: boolean[]): [number, number, number] {
  const count = (refused: boolean, isAllowed: boolean) =>
    asked.filter((one, at) => one.refused === refused && allowed[at] === isAllowed).length
  return [count(false, true), count(false, false), count(true, true)]
}

/** A judge's mark for the agent's steps towards the answer, as a share of the best one. */
async function trajectoryScore(row: Row, given: Judge | undefined): Promise<ScoreValue> {
  const steps = row.intermediate_steps ?? row.trajectory ?? row.user_input
  if (steps === undefined) throw new Error('the row has no intermediate_steps')
  const tools = row.tools === undefined ? '' : `Tools: ${JSON.stringify(row.tools)}\n`
  const found = await need(given).ask(
    'Mark how well the agent worked towards its answer, from 1 (bad) to 5 (very good): is the answer right and complete, are ' +
      'the steps in a sensible order, are the right tools used well, and not more often than needed? Answer as JSON: {"score": 3}' +
      `\n\n${tools}Question: ${text(row, ['question', 'input', 'query'], '')}\nSteps: ${JSON.stringify(steps)}\n` +
      `Answer: ${text(row, ['generated_answer', 'response', 'output'], '')}\nExpected: ${text(row, ['answer', 'reference', 'ground_truth'], 'not given')}`,
    trajectory,
  )
  return (Math.min(TRAJECTORY_BEST, Math.max(1, found.score)) - 1) / (TRAJECTORY_BEST - 1)
}

function need(judge: Judge | undefined): Judge {
  if (!judge) throw new Error('there is no judge')
  return judge
}

function text(row: Row, names: string[], otherwise?: string): string {
  for (const name of names) if (typeof row[name] === 'string') return row[name]
  if (otherwise !== undefined) return otherwise
  throw new Error(`the row has no ${names.join(' or ')}`)
}
