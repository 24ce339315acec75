// SPDX-License-Identifier: Apache-2.0
export { grantsOf, type RbacObject } from './grants.ts'
export { inOrder, openness } from './order.ts'
export { type Prediction, predictScc, REQUIRED_SCC } from './predict.ts'
export { GRANTED_TO_ALL, publishedSccs } from './published.ts'
export type { NamespaceLike, PodLike, Scc } from './types.ts'
