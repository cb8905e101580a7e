import { useNavigation } from '#renderer/state/navigation.ts';
import { RankSession } from './rank-session.tsx';
import { SessionList } from './session-list.tsx';

export function RankPanel() {
  const id = useNavigation((s) => s.rankSessionId);
  return id ? <RankSession key={id} id={id} /> : <SessionList />;
}
