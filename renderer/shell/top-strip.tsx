import { Icon } from '#renderer/components/icon.tsx';
import { useApp } from '#renderer/state/app.ts';
import { useNavigation } from '#renderer/state/navigation.ts';

/** Always in sight: what is being worked on, with what, and that nothing leaves this computer. */
export function TopStrip() {
  const { info, models, adapters, sessions, connection } = useApp();
  const { modelId, adapterId } = useNavigation();
  const model = models?.find((m) => m.id === modelId);
  const adapter = adapters?.find((a) => a.id === adapterId);
  const votes = (sessions ?? []).reduce((sum, session) => sum + (session.kind === 'rank' ? session.votes : 0), 0);
  const facts: [string, string, string | undefined][] = [
    ['Project', info ? (info.project.split(/[\\/]/).filter(Boolean).at(-1) ?? info.project) : '–', info?.project],
    ['Model', model?.name ?? (models?.length === 0 ? 'none yet' : '–'), undefined],
    ['Adapter', adapter?.name ?? 'base', undefined],
    ['Votes', sessions ? String(votes) : '–', 'Votes in all ranking sessions of this project'],
    [
      'Runs on',
      info ? `${info.provider}, ${info.threads === 1 ? '1 thread' : `${info.threads} threads`}` : '–',
      undefined,
    ],
  ];
  const state = { connecting: 'connecting…', ready: '', waiting: 'reconnecting…', refused: 'wrong version' }[
    connection.phase
  ];
  return (
    <header className="strip" data-testid="top-strip">
      <dl>
        {facts.map(([name, value, title]) => (
          <div key={name} title={title}>
            <dt>{name}</dt>
            <dd className="cut number">{value}</dd>
          </div>
        ))}
      </dl>
      <span className="row small">
        {state && (
          <span className="badge bad" role="status" data-testid="connection-state">
            {state}
          </span>
        )}
        <span
          className="badge offline"
          title="Northlight opens no connection to any network. Window and engine talk on this computer only."
        >
          <Icon name="offline" size={14} />
          offline
        </span>
      </span>
    </header>
  );
}
