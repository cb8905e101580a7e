import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openProject, PROJECT_FOLDERS } from '#pipelines/store/project.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'northlight-project-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('opening creates the folders and the database; closing leaves no lock and no write-ahead log', () => {
  const directory = join(folder(), 'deep', 'project');
  const project = openProject(directory);
  expect(readdirSync(directory)).toEqual(
    expect.arrayContaining([...PROJECT_FOLDERS, 'project.sqlite', 'project.lock']),
  );
  project.close();
  project.close();
  expect(readdirSync(directory).sort()).toEqual([...PROJECT_FOLDERS, 'project.sqlite'].sort());
});

test('a project is open once at a time, and can be opened again after closing', () => {
  const directory = folder();
  const project = openProject(directory);
  expect(() => openProject(directory)).toThrow(expect.objectContaining({ code: 'store/in-use' }));
  project.close();
  openProject(directory).close();
});

test('the lock of a process that is gone is taken over; so is one cut short', async () => {
  const directory = folder();
  const child = spawn(process.execPath, ['-e', '']);
  await new Promise((resolve) => child.on('exit', resolve));
  const lock = join(directory, 'project.lock');
  for (const text of [JSON.stringify({ pid: child.pid, host: hostname(), started: '1' }), '{"pid":', '']) {
    writeFileSync(lock, text);
    openProject(directory).close();
    expect(existsSync(lock)).toBe(false);
  }
});

test.runIf(process.platform === 'linux')('the lock of an ended process whose number lives on is taken over', () => {
  const directory = folder();
  const lock = join(directory, 'project.lock');
  writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), started: '1' }));
  openProject(directory).close();
});

test('the lock of another computer is respected, and the message says which file to delete', () => {
  const directory = folder();
  writeFileSync(join(directory, 'project.lock'), JSON.stringify({ pid: 1, host: 'elsewhere', started: null }));
  expect(() => openProject(directory)).toThrow(
    expect.objectContaining({ code: 'store/in-use', hint: expect.stringContaining('project.lock') }),
  );
});
