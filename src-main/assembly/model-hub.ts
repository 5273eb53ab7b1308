import { createHuggingFaceHub } from '#adapters/huggingface/huggingface-hub.ts'
import type { ModelHub } from '#core/ports/model-hub.ts'

/**
 * The hub that the environment names, by the variables that everything else for Hugging Face reads: `HF_ENDPOINT`, an
 * address, and `HF_TOKEN`, for models that are not public. Throws `InvalidInputError` for one that is malformed.
 */
export function openModelHub(environment: NodeJS.ProcessEnv = process.env): ModelHub {
  const { HF_ENDPOINT: hubUrl = '', HF_TOKEN: accessToken = '' } = environment
  return createHuggingFaceHub({
    ...(hubUrl === '' ? {} : { hubUrl: hubUrl.replace(/\/+$/, '') }),
    ...(accessToken === '' ? {} : { accessToken }),
  })
}
