import { useEffect, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Switch } from '#renderer/components/switch.tsx';
import { TextField } from '#renderer/components/text-field.tsx';
import { refreshModels, useApp } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { desktop } from '#renderer/state/host.ts';
import { say } from '#renderer/state/toasts.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { AdapterRow } from './adapter-row.tsx';
import { CopyProgress } from './copy-progress.tsx';
import { ModelCard } from './model-card.tsx';

export function ModelsPanel() {
  const models = useApp((s) => s.models) ?? [];
  const adapters = useApp((s) => s.adapters) ?? [];
  const [path, setPath] = useState('');
  const [copy, setCopy] = useState(false);
  const [over, setOver] = useState(false);
  const action = useAction();
  const { pickFolder, pathForFile } = desktop();

  const add = (folder: string) =>
    action.run(async () => {
      const model = await engine.call('models.add', { path: folder.trim(), copy, dryStep: true });
      await refreshModels(engine);
      setPath('');
      say(model.usable ? `Added ${model.name}` : `Added ${model.name}; it needs a fix before it can be used`);
    });

  // Dropping needs a path, which only the desktop app can tell; in a browser a dropped file must not replace the page.
  useEffect(() => {
    const stop = (event: DragEvent) => event.preventDefault();
    window.addEventListener('dragover', stop);
    window.addEventListener('drop', stop);
    return () => {
      window.removeEventListener('dragover', stop);
      window.removeEventListener('drop', stop);
    };
  }, []);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is an extra; the path field does the same by keyboard.
    <div
      className={over ? 'models over' : 'models'}
      onDragEnter={() => pathForFile && setOver(true)}
      onDragLeave={(event) => event.currentTarget === event.target && setOver(false)}
      onDrop={(event) => {
        setOver(false);
        const file = event.dataTransfer.files[0];
        if (file && pathForFile) void add(pathForFile(file));
      }}
    >
      <section className="stack" aria-label="Models">
        <h2>Models</h2>
        {models.length === 0 && (
          <EmptyState
            icon={<Icon name="models" size={44} />}
            title="No model yet"
            steps={[
              'Take the ONNX folder you have: Stable Diffusion, SDXL, SD3, Flux, a pixel-space or a sequence model.',
              'Put its path into the field below, or drop the folder here.',
              'Read what it is, and what to mend if it cannot run yet.',
            ]}
          >
            With PyTorch files only, convert them once: optimum-cli export onnx --model MODEL FOLDER
          </EmptyState>
        )}
        {models.map((model) => (
          <ModelCard key={model.id} model={model} />
        ))}
        <form
          className="card stack tight"
          aria-label="Add a model"
          onSubmit={(event) => {
            event.preventDefault();
            if (path.trim()) void add(path);
          }}
        >
          <div className="add-row">
            <TextField
              label="Add a model folder"
              value={path}
              onChange={setPath}
              placeholder="Full path of the folder that holds model_index.json"
              help={
                pathForFile
                  ? 'Or drop the folder anywhere on this page. Nothing is downloaded.'
                  : 'Nothing is downloaded.'
              }
              testId="model-path"
            />
            {pickFolder && (
              <Button
                onClick={() =>
                  void pickFolder().then((folder) => {
                    if (folder) void add(folder);
                  })
                }
              >
                <Icon name="folder" size={16} />
                Choose…
              </Button>
            )}
            <Button type="submit" busy={action.busy} disabled={path.trim() === ''} data-testid="model-add">
              Add
            </Button>
          </div>
          <Switch
            label="Copy it into the project"
            checked={copy}
            onChange={setCopy}
            help="Then the project can be carried elsewhere whole. Otherwise the folder is used where it is."
            testId="model-copy"
          />
          <CopyProgress />
          {action.busy && (
            <p className="small quiet" role="status">
              Looking at the folder…
            </p>
          )}
          {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        </form>
      </section>
      <section className="stack" aria-label="Adapters">
        <h2>Adapters</h2>
        {adapters.length === 0 ? (
          <p className="quiet">What tuning makes: small files that change a model’s taste. None yet.</p>
        ) : (
          <ul className="stack tight">
            {adapters.map((adapter) => (
              <AdapterRow
                key={adapter.id}
                adapter={adapter}
                modelName={models.find((m) => m.id === adapter.modelId)?.name ?? 'a removed model'}
              />
            ))}
          </ul>
        )}
      </section>
    </div>
  );
}
