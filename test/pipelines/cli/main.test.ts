import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { commands } from '#pipelines/cli/commands/index.ts';
import { exitCodeOf } from '#pipelines/cli/main.ts';

const script = resolve('pipelines/cli/main.ts');
const folder = mkdtempSync(join(tmpdir(), 'northlight-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function northlight(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

describe('the command line', () => {
  test('lists every command with its summary', async () => {
    const { status, stdout } = northlight('--help');
    expect(status).toBe(0);
    for (const [name, load] of Object.entries(commands)) {
      expect(stdout).toContain(`  ${name}`);
      expect(stdout).toContain((await load()).summary);
    }
  });

  test('every command is registered under its own name, and every one has help', async () => {
    for (const [name, load] of Object.entries(commands)) expect((await load()).name).toBe(name);
  });

  test.each([
    [['sampel'], /no command "sampel"\. Did you mean sample\?/],
    [['models', 'inspekt', 'x'], /Did you mean models inspect\?/],
    [['sample', '--modle', 'x'], /Did you mean --model\?/],
    [['graph', 'inspect', join(folder, 'absent.onnx')], /absent\.onnx/],
    [['lora', 'inspect', script], /main\.ts/],
  ])('%j: one line on standard error, exit code 2, no stack trace', (args, message) => {
    const { status, stdout, stderr } = northlight(...args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect([status, stdout]).toEqual([2, '']);
  });

  test('with --json an error is one JSON line with code, message and hint', () => {
    const { status, stderr } = northlight('sample', '--count', 'x', '--json');
    expect(status).toBe(2);
    expect(JSON.parse(stderr)).toEqual({
      type: 'error',
      code: 'usage',
      message: '--count needs a number, not "x".',
      hint: '',
    });
  });

  test('with --json standard output ends with exactly one result', () => {
    const { status, stdout } = northlight('bench', '--list', '--json');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string });
    expect(status).toBe(0);
    expect(lines.filter((line) => line.type === 'result')).toHaveLength(1);
    expect(lines.at(-1)!.type).toBe('result');
  });

  test('a reader that closes the pipe early is no error', () => {
    const { status, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${script}" sample --help | head -1`], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('Ctrl-C', () => {
  const steps = (body: string) => `
    import { runCommand, processTerminal } from '#pipelines/cli/main.ts';
    const command = { name: 'slow', summary: '', options: {}, async run(options, io) { ${body} } };
    process.exitCode = await runCommand(command, {}, processTerminal(), false);`;
  const softly = `
    io.whenStopped('3 pictures are kept.');
    for (let i = 0; !io.signal.aborted; i++) {
      if (i === 0) io.note('begun');
      await new Promise((next) => setTimeout(next, 10));
    }
    return { kept: 3 };`;
  const deaf = "io.signal; io.note('begun'); await new Promise((done) => setTimeout(done, 60_000)); return {};";
  const unaware = "io.note('begun'); await new Promise((done) => setTimeout(done, 60_000)); return {};";

  test('lets a command that listens finish its step, keeps its result, and says what was kept', async () => {
    const { code, stdout, stderr } = await interrupt(steps(softly), 1);
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toEqual({ kept: 3 });
    expect(stderr).toContain('Stopped. 3 pictures are kept.');
  });

  test('pressed twice ends at once', async () => {
    expect((await interrupt(steps(deaf), 2)).code).toBe(130);
  });

  test('ends a command that does not listen at once', async () => {
    const { code, stderr } = await interrupt(steps(unaware), 1);
    expect(code).toBe(130);
    expect(stderr.trimEnd().split('\n')).toEqual(['begun', 'Stopped.']);
  });
});

/** Runs a script, presses Ctrl-C each time it has said something more, and returns how it ended. */
async function interrupt(script: string, presses: number) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  let pressed = 0;
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
    if (pressed++ < presses) child.kill('SIGINT');
  });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, stdout, stderr };
}

describe('exit codes', () => {
  test.each([
    ['usage', 2],
    ['file/missing', 2],
    ['onnx/truncated', 2],
    ['model/unsupported', 2],
    ['file/disk-full', 1],
    ['runtime/out-of-memory', 1],
    ['job/crashed', 1],
  ])('%s gives %d', (code, exit) => {
    expect(exitCodeOf(new NorthlightError(code, 'x'))).toBe(exit);
  });
  test('an unnamed error is a failure, not bad input', () => {
    expect(exitCodeOf(new TypeError('x'))).toBe(1);
  });
});
