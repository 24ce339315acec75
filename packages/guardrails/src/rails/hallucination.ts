// SPDX-License-Identifier: Apache-2.0
import { askModel } from '../engine/ask.ts'
import { mainMessages } from '../engine/main-prompt.ts'
import { messageText } from '../engine/text.ts'
import { parseSupported } from '../prompts/parsers.ts'
import { judge } from './judge.ts'
import { ALLOW, type RailKind } from './types.ts'

/** Further answers to compare with. */
const SAMPLES = 2

const isSet = (value: unknown) => value === true || value === 'True' || value === 'true'

/**
 * Asks the main model again, twice, and a judge whether the answer agrees with the other answers. Runs when the
 * context sets check_hallucination, as the check costs three calls.
 */
export const hallucinationRail: RailKind = {
  name: 'self check hallucination',
  stages: ['output'],
  action: 'self_check_hallucination',
  usesModel: true,
  prepare(on) {
    const prompt = on.prompt('self_check_hallucination')
    return async (call) => {
      const { turn, text, log, signal } = call
      if (!isSet(turn.variables.check_hallucination) || text === '') return ALLOW
      const action = log.action('sample_answers')
      const answers = await Promise.all(
        Array.from({ length: SAMPLES }, () =>
          askModel(turn, {
            types: ['main'],
            task: 'sample_answers',
            messages: mainMessages(turn),
            parameters: { ...turn.parameters, n: undefined, temperature: 1 },
            signal,
            action,
          }),
        ),
      )
      const others = answers.map((a) => messageText(a.choices[0]?.message).trim()).filter((t) => t !== '')
      if (others.length === 0) return ALLOW
      const values = { statement: text, paragraph: others.join('. ') }
      const result = await judge({
        call,
        action: 'self_check_hallucination',
        task: 'self_check_hallucination',
        prompt,
        types: ['self_check_hallucination'],
        parser: prompt.parser ?? parseSupported,
        values,
      })
      return result.decision === 'block' ? { ...result, botIntent: 'inform answer unknown' } : result
    }
  },
}
