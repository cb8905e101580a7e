import { codonIndex } from './codon-index.ts';
import { cpg } from './cpg.ts';
import type { SequenceReward } from './define.ts';
import { gc } from './gc.ts';
import { homopolymer } from './homopolymer.ts';
import { hydropathy } from './hydropathy.ts';
import { instability } from './instability.ts';
import { isoelectricPoint } from './isoelectric-point.ts';
import { kmer } from './kmer.ts';
import { meltingTemperature } from './melting-temperature.ts';
import { motif } from './motif.ts';
import { netCharge } from './net-charge.ts';
import { repeats } from './repeats.ts';
import { restrictionSites } from './restriction-sites.ts';

/** The rewards of sequences that ship, by name. */
export const sequenceRewards: ReadonlyMap<string, SequenceReward> = new Map(
  [
    codonIndex,
    cpg,
    gc,
    homopolymer,
    hydropathy,
    instability,
    isoelectricPoint,
    kmer,
    meltingTemperature,
    motif,
    netCharge,
    repeats,
    restrictionSites,
  ].map((reward) => [reward.name, reward]),
);
