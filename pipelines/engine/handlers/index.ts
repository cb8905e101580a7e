import type { EngineContext } from '#pipelines/engine/context.ts';
import type { Output, ParsedInput, ProcedureName } from '#pipelines/engine/contract.ts';
import { adapters } from './adapters.ts';
import { app } from './app.ts';
import { banks } from './banks.ts';
import { compare } from './compare.ts';
import { generate } from './generate.ts';
import { jobs } from './jobs.ts';
import { models } from './models.ts';
import { pictures } from './pictures.ts';
import { runs } from './runs.ts';
import { samples } from './samples.ts';
import { sequences } from './sequences.ts';
import { sessions } from './sessions.ts';
import { tune } from './tune.ts';
import { values } from './values.ts';

/** The handler of every procedure of the contract. */
export const handlers: {
  readonly [N in ProcedureName]: (input: ParsedInput<N>, context: EngineContext) => Output<N> | Promise<Output<N>>;
} = {
  ...app,
  ...models,
  ...jobs,
  ...generate,
  ...samples,
  ...sequences,
  ...sessions,
  ...tune,
  ...runs,
  ...adapters,
  ...compare,
  ...banks,
  ...values,
  ...pictures,
};
