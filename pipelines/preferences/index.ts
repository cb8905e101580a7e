export { type BradleyTerryFit, type BradleyTerryOptions, fitBradleyTerry, type ItemFit } from './bradley-terry.ts';
export {
  type Comparison,
  type ComparisonEvent,
  type DecidedPair,
  decidedPairs,
  type Outcome,
  parseComparisonLog,
  standingComparisons,
} from './comparisons.ts';
export { type HeldOutAccuracy, heldOutAccuracy } from './held-out.ts';
export { informationBits } from './information.ts';
export { type NextOptions, type NextQuestion, nextBestOf, nextPair } from './next-question.ts';
export { wilsonInterval } from './wilson.ts';
