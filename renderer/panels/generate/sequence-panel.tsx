import type { Model } from '#pipelines/engine/contract.ts';
import { SequenceForm } from './sequence-form.tsx';
import { SequenceResults } from './sequence-results.tsx';

/** Generate with a model of sequences in hand. */
export function SequencePanel({ model }: { model: Model & { sequence: NonNullable<Model['sequence']> } }) {
  return (
    <div className="two">
      <SequenceForm model={model} />
      <SequenceResults model={model} />
    </div>
  );
}
