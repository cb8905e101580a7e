import type { ReactNode } from 'react';

/** Something wider than the window, which arrow keys scroll too. */
export function ScrollSideways(props: {
  readonly label: string;
  readonly testId?: string;
  readonly children: ReactNode;
}) {
  return (
    <section
      className="scroll-x"
      aria-label={`${props.label}, scrolls sideways`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard.
      tabIndex={0}
      data-testid={props.testId}
    >
      {props.children}
    </section>
  );
}
