import { type Command, commonOptions } from './command.ts';
import { type Flag, flagsOf } from './flags.ts';

/** `--count N   pictures (default 4; 1…512)`, aligned. */
function describe(flags: readonly Flag[], left: (flag: Flag) => string): string {
  const rows = flags.map((flag) => [left(flag), rightOf(flag)] as const);
  const width = Math.min(34, Math.max(0, ...rows.map(([name]) => name.length)));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`.trimEnd()).join('\n');
}

function rightOf(flag: Flag): string {
  const facts: string[] = [];
  if (flag.choices.length > 0) facts.push(flag.choices.join(' | '));
  if (flag.minimum !== undefined && flag.maximum !== undefined) facts.push(`${flag.minimum}…${flag.maximum}`);
  else if (flag.minimum !== undefined) facts.push(`at least ${flag.minimum}`);
  else if (flag.maximum !== undefined) facts.push(`at most ${flag.maximum}`);
  if (flag.required) facts.push('required');
  else if (flag.default !== undefined && flag.default !== '' && flag.default !== false && !emptyArray(flag.default)) {
    facts.push(`default ${typeof flag.default === 'object' ? JSON.stringify(flag.default) : flag.default}`);
  }
  if (flag.many) facts.push('may repeat');
  return facts.length > 0 ? `${flag.description} (${facts.join('; ')})`.trimStart() : flag.description;
}

const emptyArray = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

function withValue(flag: Flag): string {
  if (flag.type === 'boolean') return flag.default === true ? `--no-${flag.flag}` : `--${flag.flag}`;
  return `--${flag.flag} ${flag.type === 'string' ? 'TEXT' : 'N'}`;
}

/** `COMMAND --help`, derived from the command's schemas. `given` shapes the list of settings (`tune d3po --help`). */
export async function commandHelp(command: Command, given: Record<string, unknown>): Promise<string> {
  const positionals = command.positionals ?? [];
  const flags = flagsOf(command.options);
  const named = flags.filter((flag) => !positionals.includes(flag.key));
  const placed = positionals.map((key) => flags.find((flag) => flag.key === key)!);
  const words = placed.map((flag) => {
    const word = flag.key.toUpperCase() + (flag.many ? '…' : '');
    return flag.required ? word : `[${word}]`;
  });
  const parts = [
    `northlight ${[command.name, ...words].join(' ')} [options]\n\n${command.summary}`,
    ...(command.details === undefined ? [] : [command.details]),
    ...(placed.length > 0 ? [describe(placed, (flag) => flag.key.toUpperCase())] : []),
    ...(named.length > 0 ? [`Options\n${describe(named, withValue)}`] : []),
    `Common to every command\n${describe(flagsOf(commonOptions), withValue)}`,
  ];
  const settings = await command.settings?.(given as never);
  if (settings !== undefined)
    parts.push(`Settings, each as --set KEY=VALUE\n${describe(flagsOf(settings), (flag) => flag.key)}`);
  return `${parts.join('\n\n')}\n`;
}

/** The list of commands. */
export function generalHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return `northlight COMMAND [options]

Steers diffusion models toward what a person values: generate, rank, tune, compare. Nothing leaves this machine.

${commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`).join('\n')}

northlight COMMAND --help shows a command's options. --json gives JSON lines. Exit codes: 0 done, 1 failed, 2 bad input or
usage, 130 interrupted.
`;
}
