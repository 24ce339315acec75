// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { parseTemplate, renderTemplate } from '@open-nemo/runtime/templates/bounded.ts'

/** A message as chat templates take it; fields beyond these are the template's own business. */
export interface TemplateMessage {
  role: string
  content?: unknown
  tool_calls?: unknown
  [field: string]: unknown
}

export interface TemplateInput {
  messages: TemplateMessage[]
  tools?: unknown[] | null | undefined
  /** Whether the text ends where the assistant's answer begins. */
  add_generation_prompt: boolean
}

export interface ChatTemplate {
  /** sha256 of the template's text: what a tuned model was trained with is what it must be served with. */
  sha256: string
  /** Its text. */
  source: string
  /** Renders a conversation. Throws ChatTemplateError with the template's own words when it refuses. */
  render(input: TemplateInput): string
}

/** A conversation that the model's chat template does not accept. */
export class ChatTemplateError extends Error {
  override name = 'ChatTemplateError'
}

/** Compiles a Jinja chat template; the trainer renders the same file with jinja2 (golden cases check both). */
export function compileChatTemplate(
  source: string,
  tokens: { bos?: string | undefined; eos?: string | undefined } = {},
): ChatTemplate {
  let template: ReturnType<typeof parseTemplate>
  try {
    template = parseTemplate(source)
  } catch (cause) {
    throw new ChatTemplateError(`the chat template cannot be read: ${words(cause)}`, { cause })
  }
  return {
    sha256: createHash('sha256').update(source).digest('hex'),
    source,
    render: ({ messages, tools, add_generation_prompt }) => {
      try {
        return renderTemplate(template, {
          messages,
          tools: tools?.length ? tools : null,
          add_generation_prompt,
          bos_token: tokens.bos ?? '',
          eos_token: tokens.eos ?? '',
        })
      } catch (cause) {
        throw new ChatTemplateError(`the chat template refuses these messages: ${words(cause)}`, { cause })
      }
    },
  }
}

const words = (err: unknown) => (err instanceof Error ? err.message : String(err))
