export { countTokens, type TokenCount } from './count-tokens.ts';
export { type EncodedText, encodePrompt, type PromptEncoder, type TextState } from './encode-prompt.ts';
export type { PromptReader } from './read-prompt.ts';
export { readerOf } from './reader-of.ts';
