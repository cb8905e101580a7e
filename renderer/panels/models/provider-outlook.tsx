import type { ModelDoctorReport } from '#pipelines/engine/contract.ts';

type Outlook = ModelDoctorReport['providers'][number];

/** What is known of each provider and this model's operators; one that was never tried says so. */
export function ProviderOutlook({ providers }: { providers: readonly Outlook[] }) {
  return (
    <dl className="facts" data-testid="providers">
      <div className="fact">
        <dt>cpu</dt>
        <dd>Runs every operator of the standard. Everything else is compared with it.</dd>
      </div>
      {providers.map((p) => (
        <div className="fact" key={p.provider}>
          <dt>{p.provider}</dt>
          <dd>{outlookOf(p)}</dd>
        </div>
      ))}
    </dl>
  );
}

function outlookOf({ device, faulty, leftToCpu, untried }: Outlook): string {
  if (device === '') return 'Not tried. Measure it on this machine with: northlight doctor --model FOLDER';
  const parts = [
    ...(faulty.length > 0 ? [`some nodes of ${faulty.join(', ')} gave wrong values or failed`] : []),
    ...(leftToCpu.length > 0 ? [`${leftToCpu.join(', ')} left to the CPU`] : []),
    ...(untried.length > 0 ? [`${untried.length} operators not tried`] : []),
  ];
  return `Tried on ${device}: ${parts.length > 0 ? parts.join('; ') : 'every operator gave the CPU’s values'}.`;
}
