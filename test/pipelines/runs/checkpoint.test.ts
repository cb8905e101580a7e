import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '#pipelines/runs/checkpoint.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'northlight-run-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const save = (run: string, step: number) =>
  writeCheckpoint(run, step, (into) => {
    writeFileSync(join(into, 'adapter.bin'), `adapter after ${step}`);
    writeFileSync(join(into, 'state.json'), JSON.stringify({ step }));
  });

test('the newest checkpoint is read back and the last two are kept', () => {
  const run = folder();
  expect(readCheckpoint(run)).toBeNull();
  for (const step of [5, 10, 15, 100]) save(run, step);
  const found = readCheckpoint(run)!;
  expect(found).toMatchObject({ step: 100, damaged: [] });
  expect(readFileSync(join(found.folder, 'adapter.bin'), 'utf8')).toBe('adapter after 100');
  expect(readdirSync(join(run, 'checkpoints')).sort()).toEqual(['step-00000015', 'step-00000100']);
});

const damages: Record<string, (checkpoint: string) => void> = {
  'a changed byte': (at) => writeFileSync(join(at, 'adapter.bin'), 'Adapter after 10'),
  'a file cut short': (at) => truncateSync(join(at, 'state.json'), 3),
  'a missing file': (at) => rmSync(join(at, 'adapter.bin')),
  'no manifest': (at) => rmSync(join(at, 'manifest.json')),
};
test.each(Object.entries(damages))(
  '%s in the newest: the one before it is used, and the damage is told',
  (_what, damage) => {
    const run = folder();
    save(run, 5);
    const newest = save(run, 10);
    damage(newest);
    expect(readCheckpoint(run)).toMatchObject({ step: 5, damaged: [newest] });
    // The run goes on from 5 and comes to 10 again.
    save(run, 10);
    expect(readCheckpoint(run)).toMatchObject({ step: 10, damaged: [] });
  },
);

test('with every checkpoint damaged, that is said instead of starting over silently', () => {
  const run = folder();
  rmSync(join(save(run, 5), 'adapter.bin'));
  expect(() => readCheckpoint(run)).toThrow(expect.objectContaining({ code: 'run/no-checkpoint' }));
});

test('a checkpoint that fails half-way, or was cut off by a crash, leaves the ones before', () => {
  const run = folder();
  save(run, 5);
  const failing = () =>
    writeCheckpoint(run, 10, (into) => {
      writeFileSync(join(into, 'adapter.bin'), 'half');
      throw new Error('out of paper');
    });
  expect(failing).toThrow('out of paper');
  expect(readdirSync(join(run, 'checkpoints'))).toEqual(['step-00000005']);
  const cut = () =>
    writeCheckpoint(run, 10, (into) => {
      // What a kill at this moment leaves is exactly what lies there now.
      writeFileSync(join(into, 'adapter.bin'), 'half');
      expect(readCheckpoint(run)).toMatchObject({ step: 5, damaged: [] });
    });
  cut();
  expect(readCheckpoint(run)).toMatchObject({ step: 10 });
});
