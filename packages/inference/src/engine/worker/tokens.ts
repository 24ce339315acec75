// SPDX-License-Identifier: Apache-2.0
import type { LlamaModel, Token } from 'node-llama-cpp'
import { EngineError, type Prompt, type Tokenized, type TokenizeRequest } from '../types.ts'

/** Turns a prompt into tokens. Throws EngineError when one is not in the vocabulary or there is none. */
export function promptTokens(model: LlamaModel, { prompt }: { prompt: Prompt }): Token[] {
  const tokens = 'text' in prompt ? textTokens(model, prompt.text, true) : checked(model, prompt.tokens)
  if (tokens.length === 0) throw new EngineError('empty_prompt', 'the prompt is empty')
  return tokens
}

/** The tokens of a text, or the text of tokens, control tokens by their names. Throws EngineError. */
export function tokenized(model: LlamaModel, request: TokenizeRequest): Tokenized {
  const tokens =
    'text' in request
      ? textTokens(model, request.text, request.addSpecialTokens)
      : checked(model, request.tokens)
  return {
    text: 'text' in request ? request.text : model.detokenize(tokens, true),
    tokens: [...tokens],
    pieces: tokens.map((token) => model.detokenize([token], true)),
  }
}

/** In text, names of control tokens count as control tokens. */
function textTokens(model: LlamaModel, text: string, addSpecialTokens: boolean): Token[] {
  const tokens = model.tokenize(text, true)
  const { bos, shouldPrependBosToken } = model.tokens
  const lacksBos = addSpecialTokens && shouldPrependBosToken && bos !== null && tokens[0] !== bos
  return lacksBos ? [bos, ...tokens] : tokens
}

function checked(model: LlamaModel, tokens: number[]): Token[] {
  const size = model.fileInfo.metadata.tokenizer?.ggml?.tokens?.length ?? 0
  const bad = tokens.find((t) => !Number.isInteger(t) || t < 0 || t >= size)
  if (bad !== undefined) throw new EngineError('bad_token', `token ${bad} is not one of 0..${size - 1}`)
  return tokens as Token[]
}
