// SPDX-License-Identifier: Apache-2.0
import { availableParallelism } from 'node:os'
import { z } from 'zod'

const whole = (min: number, max: number) => z.coerce.number().int().min(min).max(max)

/** The service's settings; those that a NIM has too have its names. */
export const inferenceConfig = z.object({
  /** Longest prompt and answer of one request, in tokens; memory grows with it and with the sequences. */
  NIM_MAX_MODEL_LEN: whole(128, 1_048_576).default(2048),
  /** Requests that the base model works on at once. */
  NEMO_ENGINE_SEQUENCES: whole(1, 64).default(8),
  /** Requests that one adapter works on at once. */
  NEMO_ADAPTER_SEQUENCES: whole(1, 64).default(8),
  /** Adapters in memory at once; the one idle longest leaves for a new one. */
  NIM_MAX_CPU_LORAS: whole(1, 256).default(3),
  /** Models tuned in all their weights that are in memory at once; the one idle longest leaves for a new one. */
  NEMO_TUNED_MODELS: whole(1, 64).default(1),
  /** Seconds after which a tuned model that nobody asks leaves the memory. */
  NEMO_TUNED_IDLE_SECONDS: z.coerce.number().min(0.1).max(86_400).default(600),
  /** Requests that wait for a free sequence of one model before the next is refused. */
  NEMO_ENGINE_QUEUE: whole(1, 10_000).default(256),
  /** Threads of llama.cpp; more than the free cores makes it many times slower. */
  NEMO_ENGINE_THREADS: whole(1, 256).default(Math.max(1, availableParallelism() - 1)),
  /** Most gigabytes of a model's weights as 32-bit floats, which prompts are scored with; 0 scores with those served. */
  NEMO_EXACT_LOGPROBS_GB: z.coerce.number().min(0).max(1024).default(2),
  /** Seconds between looks into the entity store for new and deleted adapters. */
  NIM_PEFT_REFRESH_INTERVAL: z.coerce.number().min(0.2).max(86_400).default(2),
  /** Entity store to look into; the platform's own unless set. */
  NIM_PEFT_SOURCE: z.url().optional(),
  /** Catalogue model to load at start; others load when they are first asked for. */
  NIM_SERVED_MODEL_NAME: z.string().optional(),
  /** Tokens to generate when a request has no max_tokens. */
  NEMO_DEFAULT_MAX_TOKENS: whole(1, 1_048_576).default(512),
  NEMO_DEFAULT_TEMPERATURE: z.coerce.number().min(0).max(2).default(0.2),
  NEMO_DEFAULT_TOP_P: z.coerce.number().gt(0).max(1).default(0.9),
  /** Seconds that a request waits for a model that is being loaded. */
  NEMO_LOAD_WAIT: z.coerce.number().min(0).max(3600).default(60),
  NEMO_INTERNAL_TOKEN: z.string().optional(),
})
export type InferenceConfig = z.infer<typeof inferenceConfig>
