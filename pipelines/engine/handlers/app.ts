import type { Handlers } from '#pipelines/engine/context.ts';

export const app: Handlers<'app'> = { 'app.info': (_input, { info }) => info };
