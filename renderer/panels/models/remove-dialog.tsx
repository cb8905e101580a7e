import type { Model } from '#pipelines/engine/contract.ts';
import { Button } from '#renderer/components/button.tsx';
import { Dialog } from '#renderer/components/dialog.tsx';
import { formatBytes } from '#renderer/logic/format.ts';

interface Props {
  readonly model: Model;
  close(): void;
  remove(deleteCopy: boolean): void;
}

/** A model that was copied in can be taken off the list with or without its files. */
export function RemoveDialog({ model, close, remove }: Props) {
  return (
    <Dialog title={`Take ${model.name} off the list`} close={close} testId="remove-model">
      <p>{`Its files were copied into this project (${formatBytes(model.sizeBytes)}). Pictures made with it stay either way.`}</p>
      <p className="mono quiet">{model.path}</p>
      <div className="row wrap">
        <Button onClick={() => remove(false)}>Keep the files</Button>
        <Button onClick={() => remove(true)} data-testid="delete-copy">
          {`Delete the files, free ${formatBytes(model.sizeBytes)}`}
        </Button>
      </div>
    </Dialog>
  );
}
