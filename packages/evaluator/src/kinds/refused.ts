// SPDX-License-Identifier: Apache-2.0

/** Evaluation types of the API that this platform refuses, each with its reason; docs/evaluator.md prints the list. */
export const REFUSED: readonly { pattern: RegExp; types: string; reason: string }[] = [
  {
    pattern: /^(bigcode.*|big_?code.*|humaneval.*|mbpp.*|multiple-.*|transcode_.*)$/i,
    types: 'bigcode: humaneval, humanevalplus, mbpp, mbppplus, multiple-*, transcode_*',
    reason: 'it runs code that a model wrote, and its harness and data are not on this platform',
  },
  {
    pattern: /^bfcl.*$/i,
    types: 'bfcl: bfclv2*, bfclv3*',
    reason:
      'the BFCL suites need their own harness and data; the metric tool-calling of a custom evaluation compares tool calls on your data',
  },
  {
    pattern:
      /^(simple[-_]evals.*|simpleqa.*|gpqa_diamond_.*_simple|.*_simple_evals|healthbench.*|browsecomp.*|mgsm_simple.*)$/i,
    types: 'simple-evals: simpleqa, healthbench, browsecomp, …',
    reason: 'the simple-evals harness and its data are not on this platform',
  },
  {
    pattern: /^(safety([-_]harness)?.*|aegis.*|wildguard.*|garak.*)$/i,
    types: 'safety harness: aegis_v2, wildguard, garak',
    reason: 'it needs gated guard models that no account-free platform can have',
  },
  {
    pattern: /^prompt[-_]optimization$/i,
    types: 'prompt-optimization',
    reason: 'prompts are not optimized here; a custom evaluation scores the prompts that you try',
  },
  {
    pattern: /^(llm_as_a_judge|mt_?bench.*)$/i,
    types: 'llm_as_a_judge, mtbench',
    reason: 'it was replaced in 25.x: use type custom with a metric of type llm-judge',
  },
]
