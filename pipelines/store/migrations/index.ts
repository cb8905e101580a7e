import { first } from './0001-first.ts';
import { gallery } from './0002-gallery.ts';
import { modelReports } from './0003-model-reports.ts';
import { starts } from './0004-starts.ts';
import { sequences } from './0005-sequences.ts';
import { drySteps } from './0006-dry-steps.ts';

/** In order; `user_version` of a file is how many of them it has. A released migration is never edited. */
export const migrations: readonly string[] = [first, gallery, modelReports, starts, sequences, drySteps];
