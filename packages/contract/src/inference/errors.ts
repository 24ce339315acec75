// SPDX-License-Identifier: Apache-2.0
import { defineErrors } from '../errors.ts'

/** The inference service's own errors; malformed input is a 422 list instead. */
export const inferenceErrors = defineErrors('inference', {
  MODEL_NOT_FOUND: {
    status: 404,
    message: 'the model {model} does not exist',
    hint: 'Use one of: {models}',
  },
  ADAPTER_NOT_SERVABLE: {
    status: 422,
    message: 'the model {model} cannot be served: {reason}',
    hint: 'Its base model answers as {base}; train or upload the adapter again to replace it',
  },
  CONTEXT_LENGTH_EXCEEDED: {
    status: 400,
    message:
      'the prompt has {prompt_tokens} tokens, and {model} takes at most {context_size}, answer included',
    hint: 'Send less text, or start the service with a larger NIM_MAX_MODEL_LEN (the weights go up to {trained_size})',
  },
  PARAMETER_NOT_SUPPORTED: {
    status: 400,
    message: '{field} is not supported: {reason}',
    hint: 'Leave {field} out',
  },
  SCHEMA_NOT_SUPPORTED: {
    status: 400,
    message: 'the JSON schema in {field} cannot be enforced: {reason}',
    hint: 'Change the schema; objects, arrays, strings, numbers, enum, const, anyOf, oneOf and $ref are enforced',
  },
  TOOL_NOT_FOUND: {
    status: 400,
    message: 'tool_choice names the function {name}, which is not in tools',
    hint: 'Name one of: {names}',
  },
  MESSAGES_REFUSED: {
    status: 400,
    message: '{reason}',
    hint: 'Change the messages; roles are system, user, assistant and tool, and content is text',
  },
  PROMPT_REFUSED: {
    status: 400,
    message: '{reason}',
    hint: "Send text, or the model's own token ids, as POST /v1/tokenize gives them",
  },
  NO_CHAT_TEMPLATE: {
    status: 400,
    message: '{model} has no chat template',
    hint: 'Use POST /v1/completions, or add the model again with a chat template',
  },
  MODEL_LOADING: {
    status: 503,
    message: '{model} is not loaded yet: {progress}',
    hint: 'Try again in a moment; GET /v1/health/ready shows the progress',
  },
  ENGINE_ENDED: {
    status: 503,
    message: 'the engine ended while it worked on this request: {reason}',
    hint: 'It is started again; send the request once more',
  },
  ENGINE_BUSY: {
    status: 429,
    message: '{waiting} requests for {model} wait already',
    hint: 'Try again in a moment',
  },
  TOO_MANY_ANSWERS: {
    status: 400,
    message: 'the request asks for {count} answers at once, and {model} has room for {most}',
    hint: 'Send fewer prompts or a smaller n, or start the service with a larger NEMO_ENGINE_QUEUE',
  },
  SERVICE_STOPPING: {
    status: 503,
    message: 'the inference service is stopping',
    hint: 'Try again when it has started again',
  },
  UPSTREAM_UNREACHABLE: {
    status: 502,
    message: 'the server of {model} did not answer: {reason}',
    hint: 'Check the url of its api_endpoint, and that the server runs',
  },
  INPUT_TOO_LONG: {
    status: 400,
    message: 'input {index} has {tokens} tokens, and {model} takes at most {limit}',
    hint: 'Send less text, or truncate: START or END',
  },
  PASSAGE_TOO_LONG: {
    status: 400,
    message: 'the query and passage {index} have {tokens} tokens together, and {model} takes at most {limit}',
    hint: 'Send less text; truncate: END cuts passages to the room that the query leaves',
  },
  WRONG_TASK: {
    status: 400,
    message: '{model} {does}, and does not {operation}',
    hint: 'Use {instead}',
  },
  RANKER_NOT_FOUND: {
    status: 404,
    message: '{model} is no model that ranks here; those that do: {rankers}',
    hint: 'Add a reranker: a GGUF file of your own with a scoring head (`nemoctl models add NAMESPACE/NAME --path FILE.gguf`), or a server that answers POST /ranking (`--url URL`, or POST /v1/models with an api_endpoint)',
  },
  OPERATION_NOT_SERVED: {
    status: 501,
    message: '{operation} needs a model of another kind, and none is served here',
    hint: 'Add an OpenAI-compatible server that has it, with POST /v1/models and an api_endpoint',
  },
})
