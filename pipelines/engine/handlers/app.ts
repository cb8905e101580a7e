import type { ProviderTrial } from '#models/runtime/choose-provider.ts';
import { listProviders } from '#models/runtime/providers.ts';
import type { EngineContext, Handlers } from '#pipelines/engine/context.ts';

/** A window that opens does not wait for a first measurement longer than this. */
const PATIENCE_MS = 500;

export const app: Handlers<'app'> = {
  'app.info': async (_input, context) => ({ ...context.info, provider: await tuningProvider(context) }),

  'app.providers': async () =>
    (await listProviders()).map(({ provider, trusted, reason, seconds, agreement }) => ({
      provider,
      usable: trusted,
      reason,
      seconds,
      agreement,
    })),
};

async function tuningProvider({ provider }: EngineContext): Promise<string> {
  if (provider !== 'auto') return provider;
  const later = new Promise<null>((resolve) => {
    setTimeout(() => resolve(null), PATIENCE_MS).unref();
  });
  const known = await Promise.race([listProviders().then(fastest), later]);
  return known ?? 'cpu';
}

function fastest(trials: readonly ProviderTrial[]): string {
  const usable = trials.filter((t) => t.trusted && t.seconds !== null);
  return usable.toSorted((a, b) => a.seconds! - b.seconds!)[0]?.provider ?? 'cpu';
}
