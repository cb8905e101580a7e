export type { Emphasis } from './apply-weights.ts';
export {
  type EncodedPrompt,
  type EncodedText,
  encodePrompt,
  type PromptEncoder,
  type TextState,
} from './encode-prompt.ts';
export { type Piece, parseWeights } from './parse-weights.ts';
export { type PromptReader, type ReadPrompt, readPrompt } from './read-prompt.ts';
