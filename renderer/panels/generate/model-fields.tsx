import type { Model } from '#pipelines/engine/contract.ts';
import { SelectField } from '#renderer/components/select-field.tsx';
import { useApp } from '#renderer/state/app.ts';
import { choose, useNavigation } from '#renderer/state/navigation.ts';

/** The model in hand, and its adapter. */
export function ModelFields({ model }: { model: Model | undefined }) {
  const { models, adapters } = useApp();
  const adapterId = useNavigation((s) => s.adapterId);
  const own = (adapters ?? []).filter((a) => a.modelId === model?.id);
  return (
    <>
      <SelectField
        label="Model"
        value={model?.id ?? ''}
        testId="model-select"
        options={(models ?? []).map((m) => ({
          value: m.id,
          label: m.usable ? m.name : `${m.name} (needs a fix)`,
          disabled: !m.usable,
        }))}
        onChange={(id) => choose({ modelId: id, adapterId: null })}
      />
      {(own.length > 0 || !model?.sequence) && (
        <SelectField
          label="Adapter"
          value={adapterId ?? ''}
          testId="adapter-select"
          options={[{ value: '', label: 'None: the base model' }, ...own.map((a) => ({ value: a.id, label: a.name }))]}
          onChange={(id) => choose({ adapterId: id || null })}
        />
      )}
    </>
  );
}
