import { writeGguf, shapeMetadata, text, texts, i32s, u32, randomFill, ggufName } from '#test/helpers/gguf-writer.ts'
import { expectedTensors } from '#core/models/expected-tensors.ts'
import { openModelSource } from '#adapters/models/open-source.ts'
import { createGgufTokenizer } from '#adapters/models/tokenizer-gguf.ts'
import { byteOfCharacter } from '#adapters/models/tokenizer-huggingface.ts'
const V = 151_936
const pieces = [...byteOfCharacter.keys()]; const set = new Set(pieces); const merges: string[] = []; let s = 1
const rnd = (n: number) => { s = (s * 1103515245 + 12345) & 0x7fffffff; return Math.floor(s / 0x80000000 * n) }
while (pieces.length < V - 3) { const a = pieces[rnd(Math.min(pieces.length, 3000))]!, b = pieces[rnd(Math.min(pieces.length, 3000))]!; const m = a+b; if (set.has(m) || m.length > 14) continue; set.add(m); pieces.push(m); merges.push(`${a} ${b}`) }
while (merges.length < 280_000) { const i = rnd(merges.length); merges.push(merges[i]!) ; if (merges.length > 151_387) break }
pieces.push('<|a|>', '<|b|>', '<|c|>')
const config = { architecture: 'qwen2', attentionBias: true, hiddenSize: 8, intermediateSize: 8, blockCount: 1, headCount: 1, kvHeadCount: 1, headSize: 8, vocabularySize: V, contextLength: 64, rmsNormEpsilon: 1e-5, ropeTheta: 10000, ropeStyle: 'half', tiedHead: true } as const
await writeGguf('/tmp/h2/voc.gguf', { metadata: { ...shapeMetadata(config), 'tokenizer.ggml.model': text('gpt2'), 'tokenizer.ggml.pre': text('qwen2'), 'tokenizer.ggml.tokens': texts(pieces), 'tokenizer.ggml.token_type': i32s(pieces.map((_, i) => i >= V - 3 ? 3 : 1)), 'tokenizer.ggml.merges': texts(merges), 'tokenizer.ggml.eos_token_id': u32(V-1) }, tensors: expectedTensors(config).map(({name, shape}, i) => ({ name: ggufName(name), dtype: 'F32', shape, fill: randomFill(i+1, 1) })) })
let t = performance.now(); const g = await openModelSource('/tmp/h2/voc.gguf'); console.log('open', (performance.now()-t).toFixed(0), 'ms', g.tokenizer.bytes.length, 'bytes')
t = performance.now(); const tk = createGgufTokenizer(g.tokenizer.bytes, { vocabularySize: V, beginToken: null, endTokens: [V-1] }); console.log('tokenizer', (performance.now()-t).toFixed(0), 'ms')
t = performance.now(); const ids = tk.encode('The quick brown fox. '.repeat(5000)); console.log(ids.length, 'tokens in', (performance.now()-t).toFixed(0), 'ms', 'rss', (process.memoryUsage().rss/1e6).toFixed(0))
