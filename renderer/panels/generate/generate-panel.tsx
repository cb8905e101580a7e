import { useEffect, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { EmptyState } from '#renderer/components/empty-state.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { useApp } from '#renderer/state/app.ts';
import { choose, go, useNavigation } from '#renderer/state/navigation.ts';
import { GenerateForm } from './generate-form.tsx';
import { startFrom, takeSettings } from './generate-store.ts';
import { Results } from './results.tsx';
import { SampleDetail } from './sample-detail.tsx';
import { SequencePanel } from './sequence-panel.tsx';

export function GeneratePanel() {
  const models = useApp((s) => s.models);
  const { recalled, start } = useNavigation();
  const [openId, setOpenId] = useState<string | null>(null);
  const modelId = useNavigation((s) => s.modelId);
  const model = models?.find((m) => m.id === modelId);

  useEffect(() => {
    if (recalled === null) return;
    takeSettings(recalled);
    choose({ recalled: null });
  }, [recalled]);
  useEffect(() => {
    if (start === null) return;
    startFrom(start);
    choose({ start: null });
  }, [start]);
  if (models?.length === 0) {
    return (
      <EmptyState
        icon={<Icon name="models" size={44} />}
        title="No model yet"
        action={
          <Button look="primary" onClick={() => go('models')}>
            Go to Models
          </Button>
        }
      >
        Pictures and sequences come from a model folder on this computer. Add one first; nothing is downloaded.
      </EmptyState>
    );
  }
  if (model?.sequence) return <SequencePanel model={{ ...model, sequence: model.sequence }} />;
  return (
    <div className="two">
      <GenerateForm />
      <Results open={setOpenId} />
      {openId && <SampleDetail id={openId} open={setOpenId} close={() => setOpenId(null)} />}
    </div>
  );
}
