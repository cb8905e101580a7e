import { useState } from 'react';
import type { Adapter } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { formatNumber, formatWhen } from '#renderer/logic/format.ts';
import { takeAdapter, takeJob } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { go } from '#renderer/state/navigation.ts';
import { useAction } from '#renderer/state/use-action.ts';

/** One adapter: use, compare, rename, verify, and where its file is. */
export function AdapterRow({ adapter, modelName }: { adapter: Adapter; modelName: string }) {
  const [name, setName] = useState<string | null>(null);
  const action = useAction();
  const rename = () =>
    action.run(async () => {
      if (name?.trim()) takeAdapter(await engine.call('adapters.rename', { id: adapter.id, name: name.trim() }));
      setName(null);
    });
  const verify = () => action.run(async () => takeJob(await engine.call('adapters.verify', { id: adapter.id })));
  const take = { modelId: adapter.modelId, adapterId: adapter.id };
  return (
    <li className="card stack tight" data-testid="adapter">
      <div className="row apart">
        {name === null ? (
          <h3 className="cut">{adapter.name}</h3>
        ) : (
          <form
            className="row grow"
            onSubmit={(event) => {
              event.preventDefault();
              void rename();
            }}
          >
            <input
              className="input"
              aria-label="New name"
              value={name}
              data-testid="adapter-name"
              // biome-ignore lint/a11y/noAutofocus: the person just asked to rename; the field is where they look.
              autoFocus
              onChange={(event) => setName(event.target.value)}
              onKeyDown={(event) => event.key === 'Escape' && setName(null)}
            />
            <Button type="submit" size="small" busy={action.busy}>
              Save
            </Button>
          </form>
        )}
        <span className={adapter.verifiedDifference === null ? 'badge' : 'badge accent'}>
          {adapter.verifiedDifference === null
            ? 'not verified'
            : `verified, differs by ${formatNumber(adapter.verifiedDifference)}`}
        </span>
      </div>
      <p className="small quiet">{`For ${modelName} · rank ${adapter.rank} · ${formatWhen(adapter.createdAt)}`}</p>
      <p className="mono quiet">{adapter.path}</p>
      <div className="row wrap">
        <Button size="small" onClick={() => go('generate', take)} data-testid="use-adapter">
          Generate with it
        </Button>
        <Button
          size="small"
          onClick={() => go('compare', { ...take, compareAdapterId: adapter.id, compareSessionId: null })}
        >
          Compare
        </Button>
        <Button size="small" look="plain" onClick={() => setName(adapter.name)} data-testid="adapter-rename">
          Rename
        </Button>
        <Button
          size="small"
          look="plain"
          busy={action.busy}
          onClick={verify}
          title="Reads the file again, applies it and compares the output with the adapter it was written from."
          data-testid="adapter-verify"
        >
          Verify
        </Button>
        <Button
          size="small"
          look="plain"
          onClick={() => void action.run(() => navigator.clipboard.writeText(adapter.path))}
        >
          Copy path
        </Button>
      </div>
      {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
    </li>
  );
}
