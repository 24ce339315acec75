// SPDX-License-Identifier: Apache-2.0

/** A row for embedding models, as users upload it. */
export interface Row {
  query: string
  pos_doc: string
  neg_doc: string[]
}

// Words of a house that nobody outside knows: no model can have learnt what they stand for.
const ACTIONS: [jargon: string, plain: string][] = [
  ['florp', 'cancel'],
  ['brindle', 'repair'],
  ['quass', 'order'],
  ['tremmel', 'clean'],
  ['vospin', 'insure'],
  ['gadrick', 'paint'],
  ['lumber-out', 'rent'],
  ['snibble', 'weigh'],
]
const THINGS: [jargon: string, plain: string][] = [
  ['wizzle', 'the delivery van'],
  ['ponkett', 'the meeting room'],
  ['drabloon', 'the coffee machine'],
  ['yiffle', 'the front door'],
  ['mostrick', 'the printer'],
  ['halvenap', 'the garden fence'],
  ['corbly', 'the office plants'],
  ['zantoon', 'the fire alarm'],
]
const QUESTIONS = ['How do I {} a {}?', 'who can {} our {}', 'Need to {} the {} today']
/** Every fourth pair of an action and a thing is kept from training, each word of it being in other pairs. */
const isHeldOut = (action: number, thing: number) => (action + 3 * thing) % 4 === 0

const documentOf = (action: number, thing: number) =>
  `To ${ACTIONS[action]?.[1]} ${THINGS[thing]?.[1]}, fill in the form of the facility desk and wait for a call.`
const queryOf = (question: string, action: number, thing: number) =>
  question.replace('{}', ACTIONS[action]?.[0] ?? '').replace('{}', THINGS[thing]?.[0] ?? '')

/** Questions in a jargon for documents in plain English, and questions about pairs of words that training never has. */
export function retrievalSet(): {
  training: Row[]
  validation: Row[]
  documents: string[]
  heldOut: { query: string; document: number }[]
} {
  const training: Row[] = []
  const validation: Row[] = []
  const documents: string[] = []
  const heldOut: { query: string; document: number }[] = []
  for (const action of ACTIONS.keys()) {
    for (const thing of THINGS.keys()) {
      const document = documents.push(documentOf(action, thing)) - 1
      for (const [i, question] of QUESTIONS.entries()) {
        const query = queryOf(question, action, thing)
        if (isHeldOut(action, thing)) {
          heldOut.push({ query, document })
          continue
        }
        // What shares a word with the answer is hardest to tell from it.
        const other = (thing + 1 + i) % THINGS.length
        const negatives = [documentOf(action, other), documentOf((action + 1 + i) % ACTIONS.length, thing)]
        const row = { query, pos_doc: documentOf(action, thing), neg_doc: negatives }
        const isKept = i === 2 && (action + thing) % 4 === 0
        ;(isKept ? validation : training).push(row)
      }
    }
  }
  return { training, validation, documents, heldOut }
}

/** Recall@1 and nDCG@10 of rankings, where each query has one right document. */
export function scoresOf(
  queries: readonly number[][],
  documents: readonly number[][],
  right: readonly number[],
): { recall: number; ndcg: number } {
  let [hits, gain] = [0, 0]
  for (const [i, query] of queries.entries()) {
    const scores = documents.map((document) => dot(query, document))
    const wanted = scores[right[i] ?? 0] ?? 0
    const rank = scores.filter((score) => score > wanted).length
    hits += rank === 0 ? 1 : 0
    gain += rank < 10 ? 1 / Math.log2(rank + 2) : 0
  }
  return { recall: hits / queries.length, ndcg: gain / queries.length }
}

export const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
