export { loadTokenizer } from './load-tokenizer.ts';
export { encodeFixed, frame, type PromptTokenizer, wordRoom } from './prompt-tokenizer.ts';
