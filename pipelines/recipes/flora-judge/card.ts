import type { Evaluation } from './evaluate.ts';
import { NOT_APPLICABLE } from './layout.ts';

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/**
 * The model card, Markdown: what the judge is for, how it was made and how well it reads.
 * @param command makes the model again.
 * @param drawings pictures it was trained on.
 */
export function modelCard(evaluation: Evaluation, command: string, drawings: number, parameters: number): string {
  const rows = evaluation.attributes.map(
    (a) => `| ${a.name} | ${percent(a.accuracy)} | ${percent(a.whereVisible)} | ${commonMistake(a)} |`,
  );
  return `---
license: apache-2.0
---

# flora-judge

Reads a 64 × 64 picture of a flower: species, petal colour, centre colour, petal count, leaves, setting and background. It
scores how far a generated picture agrees with its prompt (reward \`prompt-agreement\`).

- Input \`image\`: float32 \`[B, 3, 64, 64]\`, RGB in 0…1. Output \`logits\`: float32 \`[B, K]\`; \`reward.json\` names the columns,
  attribute by attribute. "${NOT_APPLICABLE}" is the answer for petals and centre of a flower seen from the side.
- A convolutional network of ${parameters.toLocaleString('en')} weights (\`pipelines/recipes/flora-judge/network.ts\`).

## Recipe

\`\`\`
${command}
\`\`\`

Trained from nothing on ${drawings.toLocaleString('en')} drawings of its own, shifted, softened, lit and roughened at random (\`augment.ts\`). None is
a drawing that the flower model learned from, and the two models share no weights. Licence of model and drawings:
Apache-2.0.

## Accuracy

On ${evaluation.count.toLocaleString('en')} fresh, clean drawings of attribute combinations that training never showed. Mean of the attributes:
**${percent(evaluation.mean)}**; every attribute of a picture right: ${percent(evaluation.allRight)}. The full tables are in \`evaluation.json\`.

| attribute | right | right where it shows | most frequent mistake |
|---|---|---|---|
${rows.join('\n')}

## Limits

It knows these drawings and nothing else: any other picture gets an answer too. Pictures of other sizes are resized first.
It has the last word on no picture: where it and a person disagree, trust the person.
`;
}

/** The cell off the diagonal with the most pictures, in words. */
function commonMistake({ values, confusion }: Evaluation['attributes'][number]): string {
  let worst = { count: 0, text: 'none' };
  for (const [i, row] of confusion.entries()) {
    const shown = row.reduce((a, b) => a + b, 0);
    for (const [j, count] of row.entries()) {
      if (i !== j && count > worst.count)
        worst = { count, text: `${values[i]} read as ${values[j]} (${count} of ${shown})` };
    }
  }
  return worst.text;
}
