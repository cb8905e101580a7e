import { useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { SelectField } from '#renderer/components/select-field.tsx';
import { plural } from '#renderer/logic/format.ts';
import { takeJob } from '#renderer/state/app.ts';
import { engine } from '#renderer/state/engine.ts';
import { useAction } from '#renderer/state/use-action.ts';
import { useGallery } from './gallery-store.ts';

/** Starts a job that scores the selected pictures, or all that match when none is selected. */
export function ScoreDialog({ close }: { close(): void }) {
  const { rewards, selected, seqs } = useGallery();
  const [reward, setReward] = useState(rewards[0]?.reward ?? '');
  const action = useAction();
  const which = selected.size > 0 ? [...selected] : [...(seqs ?? [])];
  const chosen = rewards.find((r) => r.reward === reward);
  return (
    <Dialog title={`Score ${plural(which.length, 'picture')}`} close={close} testId="score-dialog">
      <div className="stack gallery-tags">
        <p className="quiet">
          A reward measures every picture once. Then they can be put in order by it, and searched:{' '}
          <code className="mono">{`reward:${reward}>0.5`}</code>
        </p>
        <SelectField
          label="Reward"
          value={reward}
          options={rewards.map((r) => ({ value: r.reward, label: r.reward }))}
          onChange={setReward}
          help={chosen?.description}
          testId="score-reward"
        />
        {action.error && <ErrorNote error={action.error} dismiss={action.clear} />}
        <Button
          look="primary"
          busy={action.busy}
          disabled={which.length === 0 || reward === ''}
          data-testid="score-start"
          onClick={() =>
            action.run(async () => {
              takeJob(await engine.call('samples.score', { seqs: which, reward }));
              close();
            })
          }
        >
          {`Score ${plural(which.length, 'picture')}`}
        </Button>
      </div>
    </Dialog>
  );
}
