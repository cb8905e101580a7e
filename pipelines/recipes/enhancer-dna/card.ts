import type { Evaluation } from './evaluate.ts';
import { CELLS, MOTIFS } from './motifs.ts';

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** The model card of the denoiser, Markdown. @param command makes the model again. @param seen sequences it was trained on. */
export function denoiserCard(
  { samples, reference, topShare, cells }: Evaluation,
  command: string,
  seen: number,
  parameters: number,
): string {
  const row = (name: string, of: (c: Evaluation['cells'][number]) => string) =>
    `| ${name} | ${cells.map(of).join(' | ')} |`;
  const fixed = (v: number | null, digits = 2) => (v === null ? 'not measured' : v.toFixed(digits));
  return `---
license: apache-2.0
---

# enhancer-dna

Writes 200 letters of synthetic enhancer DNA for one of the cell lines ${CELLS.join(', ')}, or for any: masked diffusion, on which
steering, rewards and fine-tuning of sequences can be tried in minutes on a laptop.

- Input \`input_ids\`: int64 \`[B, 200]\`, A 0, C 1, G 2, T 3, mask 4; \`timestep\`: float32 \`[B]\` in (0, 1]; \`class_labels\`: int64 \`[B]\`,
  ${CELLS.map((name, i) => `${i} ${name}`).join(', ')}, ${CELLS.length} any. Output \`logits\`: float32 \`[B, 200, 4]\`.
- A dilated convolutional network of ${parameters.toLocaleString('en')} weights (\`pipelines/recipes/enhancer-dna/network.ts\`).
- Two oracles of activity belong to it: \`enhancer-oracle-a\` to optimise, \`enhancer-oracle-b\` only to evaluate.

## Recipe

\`\`\`
${command}
\`\`\`

Trained from nothing on ${seen.toLocaleString('en')} sequences of its own generator, each seen once. Licence of model and data: Apache-2.0.

## What it was measured to do

${samples.toLocaleString('en')} samples of each cell line, steered by nothing, against ${reference.toLocaleString('en')} new sequences of the generator; "most active" are their top ${percent(topShare)} by
the exact activity. Numbers in brackets are those of the generator's own sequences.

| | ${cells.map((c) => c.cell).join(' | ')} |
|---|${cells.map(() => '---|').join('')}
${[
  row('median log activity, exact', (c) => `${fixed(c.activity)} (${fixed(c.dataActivity)})`),
  row('median log activity, evaluating oracle', (c) => fixed(c.oracle)),
  row('most active in this cell line', (c) => `${percent(c.specific)} (${percent(c.dataSpecific)})`),
  row('3-mers, Pearson with the most active', (c) => fixed(c.words, 3)),
  row('3-mers, Pearson with all', (c) => fixed(c.wordsOfAll, 3)),
  row('motifs, Spearman with the most active', (c) => fixed(c.motifs, 3)),
  row('motifs, Spearman with all', (c) => fixed(c.motifsOfAll, 3)),
  row(
    'approximate log-likelihood, median, nats',
    (c) => `${fixed(c.logLikelihood, 1)} (${fixed(c.dataLogLikelihood, 1)})`,
  ),
  row('diversity, share of letters that differ', (c) => fixed(c.diversity, 3)),
].join('\n')}

## What it is for, and what not

**This is not biology.** The grammar is synthetic: ${MOTIFS.length} consensus motifs of known factors, shortened to their cores (\`motifs.ts\` says how
they compare with published matrices), in random background with the letter statistics of human DNA; which factor works in which
cell line is known, but weights, spacing rules and the way they add up are our own choice. It is for learning, demonstrating and
testing the steering and tuning of sequence models, where the truth is known exactly and so every gain and every exploited reward
can be told apart. It is not for designing DNA that anyone makes, and says nothing about real cells.
`;
}
