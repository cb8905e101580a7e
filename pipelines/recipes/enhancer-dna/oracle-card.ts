import { ASSAY_NOISE } from './assay.ts';
import { CELLS } from './motifs.ts';
import type { OracleEvaluation } from './oracle-evaluate.ts';

/** What each oracle is for. */
const PURPOSE = {
  a: 'It is the one to optimise; judge the result by `enhancer-oracle-b`, which was trained on other sequences.',
  b: 'It is only for evaluation; optimise `enhancer-oracle-a` instead, or nothing independent is left to judge the result.',
} as const;

/** The model card of an oracle, Markdown. @param command makes the model again. */
export function oracleCard(
  { count, cells }: OracleEvaluation,
  command: string,
  { half, sequences }: { readonly half: 'a' | 'b'; readonly sequences: number },
): string {
  const rows = cells.map((c) =>
    [c.cell, ...[c.pearson, c.spearman, c.measured, c.ceiling].map((v) => v.toFixed(3))].join(' | '),
  );
  return `---
license: apache-2.0
---

# enhancer-oracle-${half}

Reads 200 letters of DNA and says how active they are as an enhancer in ${CELLS.join(', ')}. ${PURPOSE[half]}

- Input \`sequence\`: float32 \`[B, 200, 4]\`, one-hot, letters in the order ACGT. Output \`activity\`: float32 \`[B, 3]\`, log activity;
  \`reward.json\` takes the first column, ${CELLS[0]}; change \`outputIndex\` for another cell line.
- A convolutional network that reads both strands with the same weights (\`pipelines/recipes/enhancer-dna/oracle-network.ts\`).

## Recipe

\`\`\`
${command}
\`\`\`

Trained from nothing by mean squared error on half ${half.toUpperCase()} of a simulated reporter assay: ${sequences.toLocaleString('en')} sequences, none of which is in the
other half. Each measurement is the exact log activity plus normal noise, of standard deviation ${ASSAY_NOISE.construct} in all cell lines alike and
${ASSAY_NOISE.cell} in each by itself (\`assay.ts\`). Licence of model and data: Apache-2.0.

## Accuracy

On ${count.toLocaleString('en')} sequences of neither half. The ceiling is what the exact activity itself reaches against noisy measurements.

| cell line | Pearson with the exact activity | Spearman | Pearson with the measurement | ceiling |
|---|---|---|---|---|
${rows.map((row) => `| ${row} |`).join('\n')}

## Limits

**This is not biology.** The sequences come from a synthetic grammar: shortened consensus motifs of known factors in random
background, with weights of our own choice (\`motifs.ts\`). It says nothing about real DNA and must not be used to design any. It was
trained on sequences with at most a handful of sites: far from those, which is where an optimiser goes, it can be badly
wrong. That is what it is here for: to see how a reward is exploited, and to notice.
`;
}
