import { isFloat } from '#models/tensor/tensor.ts';
import type { AdapterPlace, GraphReport, Port } from './graph-report.ts';
import { formatBytes } from './model-report.ts';

const SHOWN = 6;

/** The report in a few lines for a person. */
export function showGraph(report: GraphReport & { readonly file: string }): string {
  const lines: string[] = [];
  const beside = report.externalBytes > 0 ? `, ${formatBytes(report.externalBytes)} of it beside the file` : '';
  const opsets = Object.entries(report.opsets).map(([domain, version]) => `${domain} ${version}`);
  lines.push(
    `${report.parameters.toLocaleString('en')} parameters (${formatBytes(report.weightBytes)}${beside}), ` +
      `${report.nodes.toLocaleString('en')} nodes, opset ${opsets.join(', ')}${report.producer ? `, from ${report.producer}` : ''}`,
  );
  const port = (p: Port) => `  ${p.name}: ${p.dtype} [${p.dims.map((dim) => dim ?? '?').join(', ')}]`;
  lines.push('Inputs', ...report.inputs.map((i) => `${port(i)}${inputNote(i)}`));
  const guessed = report.sizes.filter((s) => s.from === 'guess');
  if (guessed.length > 0) lines.push(`  Free sizes are taken as ${guessed.map(sizeFlag).join(' ')}; give others so.`);
  lines.push('Outputs', ...report.outputs.map(port));
  lines.push(`Operators: ${report.operators.map((o) => `${o.opType} ${o.count}`).join(', ')}`);
  if (report.missing.length > 0) lines.push(`  No gradient rule: ${report.missing.join(', ')}`);
  lines.push(...gradientLines(report), ...adapterLines(report), ...costLines(report));
  return lines.join('\n');
}

function inputNote({ state, at = [] }: GraphReport['inputs'][number]): string {
  switch (state) {
    case undefined:
      return '';
    case 'yes':
      return '  gradient: yes';
    case 'refused':
      return `  gradient: refused at ${few(at)}`;
    case 'ends':
      return `  gradient: none${at.length > 0 ? `, it ends at ${few(at)}` : ', only whole numbers come out'}`;
    default:
      return '  not used';
  }
}

function gradientLines(report: GraphReport): string[] {
  const by = (state: string) => report.weights.filter((w) => w.state === state);
  const floats = report.outputs.filter((o) => isFloat(o.dtype as never)).map((o) => o.name);
  const lines = ['Gradient'];
  if (floats.length === 0) lines.push('  None: no output is a floating-point number.');
  if (report.weights.length > 0) {
    lines.push(`  ${by('yes').length} of ${report.weights.length} weights have a gradient from ${few(floats)}.`);
  } else lines.push('  There are no floating-point weights to train.');
  for (const b of report.blockers) {
    const way = b.path.length > 4 ? [...b.path.slice(0, 2), '…', ...b.path.slice(-2)] : b.path;
    const before = [
      ...(b.weights > 0 ? [`${b.weights} weights`] : []),
      ...b.inputs.map((name) => `input "${name}"`),
    ].join(', ');
    lines.push(`  ! ${b.message} Before it: ${before}. On the way ${[...way, `output "${b.output}"`].join(' → ')}.`);
    lines.push(`    ${b.hint}`);
  }
  const ends = by('ends');
  if (ends.length > 0) {
    const at = [...new Set(ends.flatMap((w) => w.at))];
    lines.push(
      `  ${ends.length} weights have none${at.length > 0 ? `: it ends at ${few(at)}` : ', only whole numbers come out'}.`,
    );
  }
  const unused = by('unused');
  if (unused.length > 0) lines.push(`  ${unused.length} weights are not used: ${few(unused.map((w) => w.name))}.`);
  if (report.failure) lines.push(`  ! ${report.failure.message} ${report.failure.hint}`.trimEnd());
  return lines;
}

function adapterLines({ adapters }: GraphReport): string[] {
  if (adapters.length === 0) return ['Adapters: no layer can carry one.'];
  const modules = new Map(adapters.map((a) => [a.module, a]));
  const counts = { attention: 0, linear: 0, all: 0 };
  for (const { group } of modules.values()) {
    if (group === 'attention') counts.attention++;
    if (group !== 'all') counts.linear++;
    counts.all++;
  }
  const blocked = [...modules.values()].filter((a) => !a.trainable).length;
  const shape = (a: AdapterPlace) =>
    `${a.inFeatures} → ${a.outFeatures}${a.kernel.length > 0 ? ` (${a.kernel.join('×')})` : ''}`;
  const first = [...modules.values()].slice(0, SHOWN / 2);
  return [
    `Adapters: ${counts.attention} attention layers, ${counts.linear} linear, ${counts.all} in all${blocked > 0 ? `; ${blocked} of them without a gradient` : ''}`,
    ...first.map((a) => `  ${a.module}: ${a.kind} ${shape(a)}`),
    ...(modules.size > first.length ? [`  … ${modules.size - first.length} more with --json`] : []),
  ];
}

function costLines({ forward, adapterStep: step }: GraphReport): string[] {
  if (!forward) return [];
  const lines = [`Cost with these sizes: forward pass ${flopText(forward.flops)}`];
  if (!step) return lines;
  const layers = `${step.modules} ${step.targets === 'all' ? '' : `${step.targets} `}layers`;
  lines.push(
    `  training step of an adapter of rank ${step.rank} on ${layers} (${step.parameters.toLocaleString('en')} parameters): ${flopText(step.flops)}`,
  );
  for (const { segments, peakBytes, seconds } of step.forms) {
    const time =
      seconds === null
        ? ''
        : `, about ${seconds < 10 ? Number(seconds.toPrecision(1)) : seconds.toFixed(0)} s on this CPU`;
    const how = segments === null ? 'everything kept' : 'least memory, activations computed again';
    lines.push(`    ${how}: about ${formatBytes(peakBytes)} in all${time}`);
  }
  return lines;
}

const sizeFlag = ({ input, dims }: GraphReport['sizes'][number]) =>
  `--input ${input}=${dims.length === 0 ? 'scalar' : dims.join('x')}`;

function few(names: readonly string[]): string {
  return names.length > SHOWN
    ? `${names.slice(0, SHOWN).join(', ')} and ${names.length - SHOWN} more`
    : names.join(', ');
}

function flopText(flops: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let value = flops;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toPrecision(3)} ${units[unit]}FLOP`;
}
