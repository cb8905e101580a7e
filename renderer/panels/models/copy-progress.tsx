import { useEffect, useState } from 'react';
import type { EventPayload } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { Progress } from '#renderer/components/progress.tsx';
import { formatBytes } from '#renderer/logic/format.ts';
import { engine } from '#renderer/state/engine.ts';

/** How far copying a model is, while one is copied, with the way to stop it. */
export function CopyProgress() {
  const [copy, setCopy] = useState<EventPayload<'modelCopy'> | null>(null);
  useEffect(() => engine.on('modelCopy', setCopy), []);
  if (copy === null || copy.doneBytes >= copy.totalBytes) return null;
  return (
    <div className="stack tight" data-testid="copy-progress">
      <Progress
        label="Copying the model"
        done={copy.doneBytes}
        total={copy.totalBytes}
        stage={`${formatBytes(copy.doneBytes)} of ${formatBytes(copy.totalBytes)} copied`}
        etaSeconds={null}
        moving={false}
      />
      <div className="row">
        <Button
          size="small"
          onClick={() => {
            setCopy(null);
            void engine.call('models.cancelCopy', {});
          }}
        >
          Cancel
        </Button>
      </div>
    </div>
  );
}
