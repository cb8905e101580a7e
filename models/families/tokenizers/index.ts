export { loadTokenizer } from './load-tokenizer.ts';
export { frame, type PromptTokenizer, wordRoom } from './prompt-tokenizer.ts';
