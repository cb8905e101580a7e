import type { Field } from '#pipelines/engine/contract.ts';
import { type FieldValue, fieldLabel, fieldProblem } from '#renderer/logic/fields.ts';
import { NumberField } from './number-field.tsx';
import { SelectField } from './select-field.tsx';
import { Switch } from './switch.tsx';
import { TextField } from './text-field.tsx';

interface Props {
  readonly field: Field;
  readonly value: FieldValue;
  onChange(value: FieldValue): void;
}

/** One setting as its definition describes it: control by type, range checked, description as help. */
export function GeneratedField({ field, value, onChange }: Props) {
  const label = fieldLabel(field.key);
  const testId = `field-${field.key}`;
  const help = field.description;
  if (field.type === 'boolean') {
    return <Switch label={label} help={help} checked={value === true} onChange={onChange} testId={testId} />;
  }
  if (field.type === 'choice') {
    const options = field.choices.map((choice) => ({ value: choice, label: choice }));
    return (
      <SelectField
        label={label}
        help={help}
        value={String(value ?? '')}
        options={options}
        onChange={onChange}
        testId={testId}
      />
    );
  }
  if (field.type === 'string') {
    return <TextField label={label} help={help} value={String(value ?? '')} onChange={onChange} testId={testId} />;
  }
  const changed = value !== field.default && field.default !== null;
  return (
    <NumberField
      label={label}
      help={help}
      value={typeof value === 'number' ? value : null}
      onChange={onChange}
      {...(field.minimum === null ? {} : { min: field.minimum })}
      {...(field.maximum === null ? {} : { max: field.maximum })}
      step={field.type === 'integer' ? 1 : 'any'}
      aside={changed ? `default ${String(field.default)}` : undefined}
      problem={fieldProblem(field, value)}
      testId={testId}
    />
  );
}
