import { memo } from 'react';
import { letterLayers, type Molecule } from '#renderer/logic/letters.ts';

/** Coloured letters of a sequence in one line. The colour only helps the eye: every letter can be read. */
export const SequenceLetters = memo(function SequenceLetters(props: { letters: string; molecule: Molecule }) {
  return (
    <span className="letters" role="img" aria-label={props.letters}>
      {letterLayers(props.letters, props.molecule).map(({ colour, text }) => (
        <span key={colour} className={`letter-${colour}`}>
          {text}
        </span>
      ))}
    </span>
  );
});
