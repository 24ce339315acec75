// SPDX-License-Identifier: Apache-2.0
import type { EvaluationParams } from '@open-nemo/contract/evaluation/schemas.ts'
import type { PlannedTask } from './plan.ts'

type Tree = Record<string, unknown>

/** What lm-eval's `simple_evaluate` is called with for one task. */
export interface HarnessOptions {
  model: 'local-completions' | 'local-chat-completions'
  modelArgs: Tree
  options: Tree
  hfEndpoint: string | undefined
  hfToken: string | undefined
}

/** The parameters of a config and of a task in lm-eval's words; `endpoint` tells what the target's URL leads to. */
export function harnessOptions(
  task: PlannedTask,
  params: EvaluationParams,
  model: { id: string; endpoint: 'chat' | 'completions' | 'any'; parallelism: number; maxLength?: number },
): HarnessOptions {
  const own = task.local ? (task.params.extra as Tree | undefined) : task.params
  const extra: Tree = { ...params.extra, ...own }
  const isChat = usesChat(task, extra, model.endpoint)
  const tokenizer = textOf(extra.tokenizer)
  const backend = textOf(extra.tokenizer_backend)?.toLowerCase()
  return {
    model: isChat ? 'local-chat-completions' : 'local-completions',
    modelArgs: defined({
      model: model.id,
      num_concurrent: model.parallelism,
      // The forwarder waits and sends again; a request that it gives up is not worth another round.
      max_retries: 1,
      timeout: 86_400,
      batch_size: isChat ? 1 : Math.max(1, Number.parseInt(String(extra.batch_size ?? 1), 10) || 1),
      ...(isChat ? { tokenizer_backend: 'none' } : tokenizing(task, tokenizer, backend)),
      revision: textOf(extra.tokenizer_revision),
      max_length: numberOf(extra.max_length) ?? model.maxLength,
      max_gen_toks: numberOf(extra.max_gen_toks) ?? params.max_tokens ?? undefined,
      seed: numberOf(extra.seed),
      eos_string: textOf(extra.eos_string),
      add_bos_token: booleanOf(extra.add_bos_token),
      think_end_token: isChat ? textOf(extra.think_end_token) : undefined,
    }),
    options: defined({
      num_fewshot: numberOf(extra.num_fewshot),
      limit: params.limit_samples ?? undefined,
      // A chat endpoint takes nothing but messages.
      apply_chat_template: isChat || booleanOf(extra.apply_chat_template),
      fewshot_as_multiturn: booleanOf(extra.fewshot_as_multiturn),
      system_instruction: textOf(extra.system_instruction),
      bootstrap_iters: numberOf(extra.bootstrap_iters),
      gen_kwargs: generation(params, extra),
      random_seed: numberOf(extra.dataset_seed ?? extra.seed),
      numpy_random_seed: numberOf(extra.seed),
      fewshot_random_seed: numberOf(extra.fewshot_seed ?? extra.seed),
    }),
    hfEndpoint: textOf(extra.hf_endpoint),
    hfToken: textOf(extra.hf_token),
  }
}

/** Whether a task goes to the chat endpoint. Log-probabilities of given answers are only told by the other one. */
export function usesChat(task: PlannedTask, extra: Tree, endpoint: 'chat' | 'completions' | 'any'): boolean {
  if (endpoint !== 'any') return endpoint === 'chat'
  if (task.harness.isScored) return false
  const asked = textOf(extra.model_type)
  if (asked) return /chat/i.test(asked)
  return booleanOf(extra.apply_chat_template) ?? false
}

/** Whom a model's URL leads to: an operation, or a base that has both. */
export function endpointOf(url: string): 'chat' | 'completions' | 'any' {
  const path = url.split('?', 1)[0]?.replace(/\/+$/, '') ?? ''
  if (path.endsWith('/chat/completions')) return 'chat'
  return path.endsWith('/completions') ? 'completions' : 'any'
}

function tokenizing(task: PlannedTask, tokenizer: string | undefined, backend: string | undefined): Tree {
  if (backend === 'tiktoken') return { tokenizer_backend: 'tiktoken' }
  if (tokenizer && backend !== 'remote') return { tokenizer_backend: 'huggingface', tokenizer }
  if (backend === 'none') return { tokenizer_backend: 'none' }
  // Texts that are only generated need no tokens here.
  const isNeeded = task.harness.isScored || backend !== undefined
  return { tokenizer_backend: isNeeded ? 'remote' : 'none' }
}

function generation(params: EvaluationParams, extra: Tree): Tree | undefined {
  const given = defined({
    max_gen_toks: params.max_tokens ?? undefined,
    temperature: params.temperature ?? undefined,
    top_p: params.top_p ?? undefined,
    until: params.stop === null || params.stop === undefined ? undefined : [params.stop].flat(),
    top_k: numberOf(extra.top_k),
    do_sample: extra.use_greedy === true ? false : booleanOf(extra.do_sample),
    ...(typeof extra.gen_kwargs === 'object' && extra.gen_kwargs !== null ? extra.gen_kwargs : {}),
  })
  return Object.keys(given).length > 0 ? given : undefined
}

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

function booleanOf(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value
  return value === 'true' ? true : value === 'false' ? false : undefined
}

function defined(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([, value]) => value !== undefined))
}
