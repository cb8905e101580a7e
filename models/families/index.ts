export {
  hashModelFolder,
  inspectModelFolder,
  type ModelFolder,
  type ModelReport,
  openModelFolder,
} from './model-folder.ts';
export { loadTokenizer, type PromptTokenizer } from './tokenizer.ts';
