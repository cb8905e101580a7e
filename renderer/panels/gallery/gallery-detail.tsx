import { Button } from '#renderer/components/button.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { ReproducePicture } from '#renderer/components/reproduce-picture.tsx';
import { SampleFacts } from '#renderer/components/sample-facts.tsx';
import { showDetail, toggleFilter, useGallery } from './gallery-store.ts';

interface Props {
  recallSettings(): void;
  startFromIt(): void;
  tag(): void;
}

/** The picture the keyboard is at, with everything that is known of it. */
export function GalleryDetail({ recallSettings, startFromIt, tag }: Props) {
  const seq = useGallery((s) => s.seqs?.[s.cursor]);
  const sample = useGallery((s) => (seq === undefined ? undefined : s.rows.get(seq)));
  return (
    <aside className="gallery-detail" aria-label="Picture" data-testid="gallery-detail">
      <div className="row apart">
        <h2 className="cut">Picture</h2>
        <Button look="plain" size="small" iconOnly aria-label="Close" onClick={() => showDetail(false)}>
          <Icon name="close" size={14} />
        </Button>
      </div>
      {sample ? (
        <>
          <Picture key={sample.hash} hash={sample.hash} alt={sample.prompt} className="large" />
          <p>{sample.prompt}</p>
          <div className="row wrap">
            {sample.tags.map((name) => (
              <button
                key={name}
                type="button"
                className="chip"
                title="Search for this tag"
                onClick={() => toggleFilter(/\s/.test(name) ? `tag:"${name}"` : `tag:${name}`)}
              >
                {name}
              </button>
            ))}
            <button type="button" className="chip" aria-label="Change its tags" onClick={tag}>
              + tag
            </button>
          </div>
          <div className="row wrap">
            <Button shortcut="r" onClick={recallSettings} data-testid="gallery-recall">
              Recall settings
            </Button>
            <Button shortcut="u" onClick={startFromIt} data-testid="gallery-start">
              Use as start
            </Button>
          </div>
          <SampleFacts sample={sample} />
          <ReproducePicture key={sample.id} sample={sample} />
        </>
      ) : (
        <p className="quiet small">No picture is chosen.</p>
      )}
    </aside>
  );
}
