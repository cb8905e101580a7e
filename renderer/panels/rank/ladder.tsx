import { useState } from 'react';
import type { Output } from '#pipelines/engine/contract.ts';
import { Picture } from '#renderer/components/picture.tsx';
import { plural } from '#renderer/logic/format.ts';
import { ladder } from '#renderer/logic/ladder.ts';
import { groupByPrompt } from '#renderer/logic/prompts.ts';

/** Pictures of one prompt from most to least liked: a dot for the score, a whisker for how sure it is. */
export function Ladder({ standings }: { standings: Output<'sessions.standings'>['standings'] }) {
  const groups = groupByPrompt(standings);
  const [prompt, setPrompt] = useState<string | null>(null);
  // Scores of different prompts do not compare, so one prompt at a time.
  const group = groups.find((candidate) => candidate.prompt === prompt) ?? groups[0];
  if (!group) return null;
  const { rungs, zero } = ladder(group.items);
  return (
    <div className="stack tight">
      {groups.length > 1 && (
        <select
          className="input"
          aria-label="Prompt of the standings"
          value={group.prompt}
          onChange={(event) => setPrompt(event.target.value)}
        >
          {groups.map((candidate) => (
            <option key={candidate.prompt}>{candidate.prompt}</option>
          ))}
        </select>
      )}
      <ol className="ladder">
        {rungs.map((rung, i) => (
          <li
            key={rung.sampleId}
            title={`score ${rung.utility.toFixed(2)} ± ${rung.sd.toFixed(2)}, ${plural(rung.comparisons, 'comparison')}`}
          >
            <Picture hash={rung.hash} alt={`Place ${i + 1}`} className="thumb" />
            <svg
              className="rung"
              role="img"
              aria-label={`score ${rung.utility.toFixed(2)} plus or minus ${rung.sd.toFixed(2)}`}
            >
              <line className="zero" x1={`${2 + zero * 96}%`} x2={`${2 + zero * 96}%`} y1="0" y2="100%" />
              <line className="whisker" x1={`${2 + rung.from * 96}%`} x2={`${2 + rung.to * 96}%`} y1="50%" y2="50%" />
              <circle className="dot" cx={`${2 + rung.at * 96}%`} cy="50%" r="4" />
            </svg>
          </li>
        ))}
      </ol>
      <p className="small quiet">Dot: how much you like it. Line: how unsure that still is.</p>
    </div>
  );
}
