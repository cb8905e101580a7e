import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';
import { defineSequenceReward } from './define.ts';
import { bases } from './nucleotides.ts';

/** [ΔH kcal/mol, ΔS cal/(mol·K)] of nearest neighbours in 1 M NaCl: SantaLucia 1998, table 2 (the unified parameters). */
const NEIGHBOURS: Readonly<Record<string, readonly [number, number]>> = {
  AA: [-7.9, -22.2],
  AT: [-7.2, -20.4],
  TA: [-7.2, -21.3],
  CA: [-8.5, -22.7],
  GT: [-8.4, -22.4],
  CT: [-7.8, -21.0],
  GA: [-8.2, -22.2],
  CG: [-10.6, -27.2],
  GC: [-9.8, -24.4],
  GG: [-8.0, -19.9],
};
const ENDS_IN_GC = [0.1, -2.8] as const;
const ENDS_IN_AT = [2.3, 4.1] as const;
const SYMMETRY_ENTROPY = -1.4;
/** cal/(mol·K). */
const GAS_CONSTANT = 1.987;
const WALLACE_BELOW = 14;

/** Wallace et al. 1979, Nucleic Acids Res. 6:3543: 2 °C for each A or T and 4 °C for each G or C. */
const wallace = (letters: string): number =>
  [...letters].reduce((sum, base) => sum + (base === 'G' || base === 'C' ? 4 : 2), 0);

/**
 * SantaLucia 1998, PNAS 95:1460, eq. 3 and 5: ΔS + 0.368·(N − 1)·ln[Na⁺], T = ΔH / (ΔS + R·ln(C/x)), x = 4, or 1 for a
 * self-complementary strand.
 */
function nearestNeighbour(letters: string, sodium: number, strands: number): number {
  const symmetric = letters === reverseComplement(letters);
  const ends = [letters[0]!, letters.at(-1)!].map((base) => ('GC'.includes(base) ? ENDS_IN_GC : ENDS_IN_AT));
  let [enthalpy, entropy] = [ends[0]![0] + ends[1]![0], ends[0]![1] + ends[1]![1]];
  if (symmetric) entropy += SYMMETRY_ENTROPY;
  for (let i = 0; i + 1 < letters.length; i++) {
    const pair = letters.slice(i, i + 2);
    const [dh, ds] = (NEIGHBOURS[pair] ?? NEIGHBOURS[reverseComplement(pair)])!;
    enthalpy += dh;
    entropy += ds;
  }
  entropy += 0.368 * (letters.length - 1) * Math.log(sodium);
  return (1000 * enthalpy) / (entropy + GAS_CONSTANT * Math.log(strands / (symmetric ? 1 : 4))) - 273.15;
}

export const meltingTemperature = defineSequenceReward({
  name: 'melting-temperature',
  description:
    'Melting temperature of the duplex of DNA, °C: nearest neighbours with salt (SantaLucia 1998), below 14 bases the Wallace rule.',
  options: z.strictObject({
    sodium: z.coerce.number().positive().max(5000).default(50).describe('Na⁺, mM'),
    strands: z.coerce.number().positive().max(1e6).default(50).describe('both strands together, nM'),
  }),
  open:
    ({ sodium, strands }) =>
    (sequence) => {
      const letters = bases(sequence, 'refuse');
      if (letters.length < 2) {
        throw new NorthlightError('reward/length', 'One base has no duplex.', 'Leave such sequences out.');
      }
      return letters.length < WALLACE_BELOW
        ? wallace(letters)
        : nearestNeighbour(letters, sodium / 1000, strands / 1e9);
    },
});
