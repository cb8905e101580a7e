import { type DoctorReport, examineModel } from './doctor.ts';
import { hashModelFolder } from './hash-folder.ts';
import { partOf } from './model-folder.ts';

/** A model in a list: what it is, and if it cannot run, what is wrong and how to mend it. */
export interface ModelReport {
  readonly name: string;
  readonly family: string;
  readonly components: readonly string[];
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly width: number;
  readonly height: number;
  readonly predictionType: string;
  readonly usable: boolean;
  readonly problems: { message: string; hint: string }[];
  readonly description: string;
  readonly examplePrompts: string[];
  /** SHA-256 of what decides the output; empty while it is not known. */
  readonly hash: string;
}

/** The report of a list, without the hash, which has to read every weight. */
export function summaryOf(report: DoctorReport): ModelReport {
  return {
    name: report.name,
    family: report.family,
    components: report.usable
      ? [...report.components.map((c) => partOf('', c.file)), ...report.tokenizers, 'scheduler']
      : [],
    parameters: report.parameters,
    sizeBytes: report.sizeBytes,
    width: report.width,
    height: report.height,
    predictionType: report.predictionType,
    usable: report.usable,
    problems: report.findings.filter((f) => f.weight === 'stops').map(({ message, hint }) => ({ message, hint })),
    description: report.description,
    examplePrompts: [...report.examplePrompts],
    hash: '',
  };
}

/** What a folder is, with its hash. Never throws for a bad folder. */
export function inspectModelFolder(directory: string): ModelReport {
  const summary = summaryOf(examineModel(directory));
  return summary.usable ? { ...summary, hash: hashModelFolder(directory) } : summary;
}
