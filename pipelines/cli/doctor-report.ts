import type { DoctorReport } from '#models/families/index.ts';
import type { DryStep } from '#pipelines/sampling/dry-step.ts';
import { formatBytes } from './model-report.ts';

/** What was tried besides reading; null for what was not asked for. */
export interface InspectResult extends DoctorReport {
  /** What stops the model, as `models list` has it. */
  readonly problems: readonly { readonly message: string; readonly hint: string }[];
  readonly hash: string | null;
  readonly dryStep: DryStep | null;
  readonly gradients: {
    readonly weights: number;
    readonly trainable: number;
    readonly blockers: readonly string[];
  } | null;
}

const dimsText = (dims: readonly (number | string | null)[]) => `[${dims.map((d) => d ?? '?').join(', ')}]`;

/** A doctor's report for a person: the answer first, then what it rests on. */
export function describeDoctor(r: InspectResult): string {
  const lines = [`${r.name}: ${r.status}`];
  for (const f of r.findings) {
    // The status has said the first thing that stops it.
    if (!r.status.includes(f.message)) lines.push(`  ${f.weight === 'stops' ? '!!' : '· '} ${f.message}`);
    lines.push(`     ${f.hint}`);
  }
  if (r.components.length === 0) return lines.join('\n');
  const size = r.width > 0 ? `${r.width} × ${r.height}, ` : '';
  lines.push(
    '',
    `  family      ${r.family}${r.predictionType ? `, predicts ${r.predictionType}` : ''}`,
    `  exporter    ${r.exporter}. ${r.exporterBecause}`,
    `  precision   ${r.precision}`,
    `  sizes       ${size}${r.sizes}`,
    `  weights     ${r.parameters.toLocaleString('en')} parameters, ${formatBytes(r.sizeBytes)}`,
  );
  for (const c of r.components) {
    lines.push(
      '',
      `  ${c.file} · opset ${c.opset} · ${c.precision} · ${c.parameters.toLocaleString('en')} parameters · ${formatBytes(c.sizeBytes)}`,
    );
    for (const p of c.inputs) lines.push(`    in   ${p.name} ${p.dtype} ${dimsText(p.dims)}`);
    for (const p of c.outputs) lines.push(`    out  ${p.name} ${p.dtype} ${dimsText(p.dims)}`);
  }
  lines.push('');
  for (const p of r.providers) lines.push(`  ${p.provider.padEnd(10)}  ${outlookText(p)}`);
  if (r.gradients) {
    const { weights, trainable, blockers } = r.gradients;
    lines.push(
      '',
      `  training    ${trainable} of ${weights} weights of the denoiser can be trained${blockers.length > 0 ? `; refused by ${blockers.join(', ')}` : ''}`,
    );
  }
  if (r.dryStep) {
    const { seconds, loadSeconds, finite, dims, width, height } = r.dryStep;
    lines.push(
      '',
      `  one step    ${seconds.toFixed(2)} s at ${dims.join(' × ')} → ${width} × ${height} pixels, after ${loadSeconds.toFixed(2)} s of loading; ${finite ? 'every number is finite' : 'NOT every number is finite'}`,
    );
  }
  if (r.hash !== null) lines.push('', `  sha256      ${r.hash}`);
  return lines.join('\n');
}

function outlookText(p: DoctorReport['providers'][number]): string {
  if (p.device === '') return 'not tried; measure it here with: northlight doctor --model DIR';
  const parts = [
    ...(p.faulty.length > 0 ? [`gave wrong values or failed in some nodes of ${p.faulty.join(', ')}`] : []),
    ...(p.leftToCpu.length > 0 ? [`leaves ${p.leftToCpu.join(', ')} to the CPU`] : []),
    ...(p.untried.length > 0 ? [`not tried with ${p.untried.join(', ')}`] : []),
  ];
  return `tried on ${p.device}: ${parts.length === 0 ? 'every operator gave the CPU’s values' : parts.join('; ')}`;
}
