import { useEffect } from 'react';
import type { ValueNetworkView } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { choiceWords, costWords, networkWords } from '#renderer/logic/value-words.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { FormJob } from './form-job.tsx';
import type { BankOf } from './use-bank.ts';
import { useValues } from './use-values.ts';

interface Props {
  readonly of: BankOf | null;
  readonly reward: string;
  /** The folder that the form names. */
  readonly folder: string;
  choose(folder: string): void;
}

/** The value network to decode with: one of the project that belongs to this model and reward, or a new one. */
export function ValueField({ of, reward, folder, choose }: Props) {
  const { view, job, error, train } = useValues(of, reward);
  const action = useAction();
  const networks = view?.networks ?? [];
  const chosen = networks.find((n) => n.folder === folder);
  const latest = networks[0]?.folder;
  // A folder that belongs to nothing here any more makes way for the latest that does.
  useEffect(() => {
    if (latest !== undefined && chosen === undefined) choose(latest);
  }, [latest, chosen, choose]);
  if (error) return <ErrorNote error={error} />;
  if (!view) return null;
  const makes = of?.makes ?? 'pictures';
  return (
    <section className="bank stack tight" aria-label="Value network" data-testid="values">
      <h3>Value network</h3>
      {networks.length > 1 && (
        <SelectField
          label="Network"
          value={chosen?.folder ?? ''}
          testId="values-network"
          options={networks.map((n, i) => ({ value: n.folder, label: networkWords(n, i) }))}
          onChange={choose}
        />
      )}
      {chosen && <Card network={chosen} makes={makes} />}
      {networks.length === 0 && !job && (
        <p className="small quiet" data-testid="values-none">
          This method needs a network that was trained for this model and reward. There is none in this project yet.
        </p>
      )}
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
      {job ? (
        <FormJob job={job} action={action} kept="What it has collected is kept" testId="values" />
      ) : (
        <>
          <Button size="small" busy={action.busy} data-testid="values-train" onClick={() => void action.run(train)}>
            {networks.length === 0 ? 'Train a value network' : 'Train one for this form'}
          </Button>
          <p className="small quiet" data-testid="values-cost">
            {costWords(view.cost, makes)}
          </p>
        </>
      )}
    </section>
  );
}

function Card({ network, makes }: { network: ValueNetworkView; makes: BankOf['makes'] }) {
  return (
    <div data-testid="values-card">
      <p className="small">{`Learned from ${network.samples} ${makes}.`}</p>
      <p className="small quiet number">{choiceWords(network)}</p>
    </div>
  );
}
