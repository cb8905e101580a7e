import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { replaceFile, sha256File, stageFile, writeFileAtomic, writeFully } from '#models/files.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-files-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

describe('writing', () => {
  test('a text and bytes arrive whole and nothing else is left in the folder', () => {
    writeFileAtomic(join(folder, 'a.txt'), 'grüße');
    writeFileAtomic(join(folder, 'b.bin'), Uint8Array.of(0, 255, 7));
    expect(readFileSync(join(folder, 'a.txt'), 'utf8')).toBe('grüße');
    expect([...readFileSync(join(folder, 'b.bin'))]).toEqual([0, 255, 7]);
    expect(readdirSync(folder)).toEqual(['a.txt', 'b.bin']);
  });

  test('a staged file is invisible until it is committed, and discarding it leaves no trace', () => {
    const path = join(folder, 'a');
    const kept = stageFile(path, (write) => write(Buffer.from('x')));
    expect(() => statSync(path)).toThrow();
    kept.commit();
    stageFile(path, (write) => write(Buffer.from('y'))).discard();
    expect(readFileSync(path, 'utf8')).toBe('x');
    expect(readdirSync(folder)).toEqual(['a']);
  });

  test('a replaced file keeps its permissions, and a link keeps pointing to it', () => {
    writeFileSync(join(folder, 'real'), 'old');
    chmodSync(join(folder, 'real'), 0o640);
    symlinkSync('real', join(folder, 'link'));
    writeFileAtomic(join(folder, 'link'), 'new');
    expect(readlinkSync(join(folder, 'link'))).toBe('real');
    expect(readFileSync(join(folder, 'real'), 'utf8')).toBe('new');
    expect(statSync(join(folder, 'real')).mode & 0o777).toBe(0o640);
  });

  test('an error half way through keeps the old file and removes the half-written one', () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'old');
    const stop = new Error('stop');
    expect(() =>
      replaceFile(path, (write) => {
        write(Buffer.from('half'));
        throw stop;
      }),
    ).toThrow(stop);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['a']);
  });

  test('a full disk is named, keeps the old file and removes the half-written one', () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'old');
    const full = openSync('/dev/full', 'w'); // every write to this device answers ENOSPC
    try {
      expect(() =>
        replaceFile(path, (write) => {
          write(Buffer.from('half'));
          writeFully(full, Buffer.from('rest'), path);
        }),
      ).toThrow(code('file/disk-full'));
    } finally {
      closeSync(full);
    }
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['a']);
  });

  test('a write that the system breaks off half way is named and leaves nothing', () => {
    const script = `
      const { writeFileAtomic } = await import(${JSON.stringify(pathToFileURL('models/files.ts').href)});
      try { writeFileAtomic(${JSON.stringify(join(folder, 'big'))}, new Uint8Array(1 << 20)); } catch (e) { console.log(e.code); }`;
    // The limit on file size lets the first blocks through and then fails the write.
    const run = spawnSync(
      'sh',
      ['-c', 'trap "" XFSZ; ulimit -f 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
      {
        encoding: 'utf8',
      },
    );
    expect(run.stdout.trim()).toBe('file/too-large');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a missing folder, a file in place of a folder, a folder in place of a file and a device are refused by name', () => {
    writeFileSync(join(folder, 'file'), 'x');
    mkdirSync(join(folder, 'dir'));
    expect(() => writeFileAtomic(join(folder, 'none', 'a'), 'x')).toThrow(code('file/no-folder'));
    expect(() => writeFileAtomic(join(folder, 'file', 'a'), 'x')).toThrow(code('file/no-folder'));
    expect(() => writeFileAtomic(join(folder, 'dir'), 'x')).toThrow(code('file/is-folder'));
    expect(() => writeFileAtomic('/dev/null', 'x')).toThrow(code('file/not-regular'));
    expect(() => writeFileAtomic(join(folder, 'n'.repeat(400)), 'x')).toThrow(code('file/name-too-long'));
    expect(readdirSync(folder).sort()).toEqual(['dir', 'file']);
  });

  test('a folder that takes no files, even from the administrator, is called not writable', () => {
    expect(() => writeFileAtomic('/proc/northlight', 'x')).toThrow(code('file/not-writable'));
    expect(() => writeFileAtomic('/sys/northlight', 'x')).toThrow(code('file/not-writable'));
  });
});

describe('hashing', () => {
  test('SHA-256 of a file equals that of its bytes, across the reading blocks', () => {
    const bytes = Buffer.alloc((1 << 24) + 12345, 'northlight');
    writeFileSync(join(folder, 'a'), bytes);
    expect(sha256File(join(folder, 'a'))).toBe(createHash('sha256').update(bytes).digest('hex'));
    writeFileSync(join(folder, 'empty'), '');
    expect(sha256File(join(folder, 'empty'))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  test('a missing file and a folder are named', () => {
    expect(() => sha256File(join(folder, 'none'))).toThrow(code('file/missing'));
    expect(() => sha256File(folder)).toThrow(code('file/is-folder'));
  });
});
