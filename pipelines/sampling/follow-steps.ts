/** What a generator yields, changed, and what it comes to. It is closed where the reader stops early, and with it what it opened. */
export async function* mapSteps<A, B, R>(from: AsyncGenerator<A, R>, change: (step: A) => B): AsyncGenerator<B, R> {
  let done = false;
  try {
    for (;;) {
      const next = await from.next();
      done = next.done ?? false;
      if (next.done) return next.value;
      yield change(next.value);
    }
  } finally {
    if (!done) await from.return(undefined as never);
  }
}

/** What a generator comes to. It is closed where being told of a step throws, which is how work is cancelled. */
export async function followSteps<A, R>(
  from: AsyncGenerator<A, R>,
  tell: (step: A) => void | Promise<void>,
): Promise<R> {
  let done = false;
  try {
    for (;;) {
      const next = await from.next();
      done = next.done ?? false;
      if (next.done) return next.value;
      await tell(next.value);
    }
  } finally {
    if (!done) await from.return(undefined as never);
  }
}
