/** `config.json` of a model, as the class of its architecture in transformers reads it: the inverse of `parseHuggingFaceConfig`. */
import type { Architecture, ModelConfig, ModelManifest, RopeScaling } from '#contracts/model/manifest.ts'

const classNames: Readonly<Record<Architecture, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
}

/** Rotary positions in the file are those of halves, whatever the manifest's were: see `reorderHeads`. */
export function huggingFaceConfig({ config, tokenizer }: Pick<ModelManifest, 'config' | 'tokenizer'>) {
  return {
    architectures: [classNames[config.architecture]],
    model_type: config.architecture,
    torch_dtype: 'float32',
    hidden_act: 'silu',
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.blockCount,
    num_attention_heads: config.headCount,
    num_key_value_heads: config.kvHeadCount,
    head_dim: config.headSize,
    vocab_size: config.vocabularySize,
    max_position_embeddings: config.contextLength,
    rms_norm_eps: config.rmsNormEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: config.ropeScaling === undefined ? null : ropeScaling(config.ropeScaling),
    tie_word_embeddings: config.tiedHead,
    attention_bias: false,
    ...windowFields(config),
    ...(tokenizer.beginToken !== null && { bos_token_id: tokenizer.beginToken }),
    eos_token_id: tokenizer.endTokens.length === 1 ? tokenizer.endTokens[0] : tokenizer.endTokens,
  }
}

function ropeScaling(scaling: RopeScaling) {
  if (scaling.kind === 'linear') return { rope_type: 'linear', factor: scaling.factor }
  return {
    rope_type: 'llama3',
    factor: scaling.factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalContextLength,
  }
}

function windowFields({ architecture, slidingWindow }: ModelConfig) {
  switch (architecture) {
    case 'llama':
      return {}
    case 'mistral':
      return { sliding_window: slidingWindow ?? null }
    case 'qwen2':
    case 'qwen3':
      return {
        use_sliding_window: slidingWindow !== undefined,
        sliding_window: slidingWindow ?? null,
        max_window_layers: 0,
      }
  }
}
