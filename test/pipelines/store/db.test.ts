import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { openDb } from '#pipelines/store/db.ts';
import { migrations } from '#pipelines/store/migrations/index.ts';
import { models } from '#pipelines/store/models.ts';

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'northlight-db-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A file made by somebody else, or by hand. */
function made(path: string, sql: string): string {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
  return path;
}

const model = { id: 'model-1', path: '/m', bundled: false };
const number = z.object({ n: z.number() });

test('what a transaction wrote is there after closing and opening; what it threw away is not', () => {
  const path = join(folder(), 'project.sqlite');
  const db = openDb(path);
  db.tx(() => models.put(db, model));
  const failing = () =>
    db.tx(() => {
      models.put(db, { ...model, id: 'model-2', path: '/n' });
      throw new Error('stop');
    });
  expect(failing).toThrow('stop');
  db.close();
  const again = openDb(path);
  expect(models.all(again).map(({ id }) => id)).toEqual(['model-1']);
  again.close();
});

test('the file is in WAL mode with full sync, foreign keys hold, and tables are strict', () => {
  const db = openDb(join(folder(), 'project.sqlite'));
  const pragma = (name: string) => db.get(z.record(z.string(), z.unknown()), `PRAGMA ${name}`)?.[name];
  expect(pragma('journal_mode')).toBe('wal');
  expect(pragma('synchronous')).toBe(2);
  expect(() => db.run("INSERT INTO session_samples VALUES ('none', 'none')")).toThrow(/FOREIGN KEY/);
  const wrongType = () => db.run("INSERT INTO models VALUES ('a', '/a', 'yes', 'now', NULL)");
  expect(wrongType).toThrow(/cannot store TEXT value in INTEGER column/);
  const lax = db.all(
    z.object({ name: z.string() }),
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'",
  );
  expect(lax).toEqual([]);
  db.close();
});

test('a database of another program, a text file and a newer version are refused by name and left as they were', () => {
  const dir = folder();
  const other = made(join(dir, 'other.sqlite'), 'CREATE TABLE t (x); INSERT INTO t VALUES (1);');
  const text = join(dir, 'text.sqlite');
  writeFileSync(text, 'These are my notes, please keep them. '.repeat(50));
  const newer = join(dir, 'newer.sqlite');
  openDb(newer).close();
  made(newer, `PRAGMA user_version=${migrations.length + 1}`);
  const cases = [
    [other, 'store/not-a-project'],
    [text, 'store/not-a-project'],
    [newer, 'store/newer-version'],
  ] as const;
  for (const [path, code] of cases) {
    const before = readFileSync(path);
    expect(() => openDb(path)).toThrow(expect.objectContaining({ code }));
    expect(readFileSync(path)).toEqual(before);
  }
});

test('a damaged file is named damaged', () => {
  const path = join(folder(), 'project.sqlite');
  const db = openDb(path);
  db.tx(() => {
    for (let i = 0; i < 500; i++) models.put(db, { ...model, id: `model-${i}`, path: `/models/${i}` });
  });
  db.close();
  const bytes = readFileSync(path);
  bytes.fill(0xff, 4096 * 20, 4096 * 24);
  writeFileSync(path, bytes);
  expect(() => openDb(path)).toThrow(expect.objectContaining({ code: 'store/corrupt' }));
  truncateSync(path, bytes.length / 2);
  expect(() => openDb(path)).toThrow(expect.objectContaining({ code: 'store/corrupt' }));
});

test('a file another program is writing is named locked', () => {
  const path = join(folder(), 'project.sqlite');
  const db = openDb(path);
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  db.all(z.unknown(), 'PRAGMA busy_timeout=50');
  expect(() => db.tx(() => models.put(db, model))).toThrow(expect.objectContaining({ code: 'store/locked' }));
  other.exec('ROLLBACK');
  other.close();
  db.tx(() => models.put(db, model));
  db.close();
});

test('an older file is copied beside itself before it is migrated; a new one is not', () => {
  const dir = folder();
  const path = join(dir, 'project.sqlite');
  const first = openDb(path);
  models.put(first, model);
  first.close();
  expect(readdirSync(dir).filter((name) => name.includes('backup'))).toEqual([]);
  const more = ['CREATE TABLE later (x INTEGER) STRICT;'];
  const second = openDb(path, [...migrations, ...more]);
  expect(second.get(number, 'SELECT count(*) AS n FROM later')).toEqual({ n: 0 });
  expect(models.all(second)).toHaveLength(1);
  second.close();
  const backup = `${path}.backup-v${migrations.length}`;
  expect(existsSync(backup)).toBe(true);
  const old = openDb(backup);
  expect(models.all(old)).toHaveLength(1);
  old.close();
});

test('a migration that fails leaves the file at its old version with its rows', () => {
  const path = join(folder(), 'project.sqlite');
  const first = openDb(path);
  models.put(first, model);
  first.close();
  expect(() => openDb(path, [...migrations, 'DELETE FROM models; CREATE TABLE broken (;'])).toThrow(/syntax/);
  const again = openDb(path);
  expect(models.all(again)).toHaveLength(1);
  again.close();
});

test('a row that does not fit its schema is reported as damage, with the column', () => {
  const db = openDb(join(folder(), 'project.sqlite'));
  expect(() => db.get(z.object({ n: z.string() }), 'SELECT 1 AS n')).toThrow(
    expect.objectContaining({ code: 'store/corrupt', message: expect.stringContaining('wrong n') }),
  );
  db.close();
});
