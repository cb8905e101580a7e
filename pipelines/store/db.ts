import { existsSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { migrations } from './migrations/index.ts';

/** What may be bound to a `?`. Booleans are stored as 0 and 1 by the caller; `undefined` cannot be bound. */
export type Value = string | number | bigint | Uint8Array | null;

/** A project's database: synchronous, one writer. Rows leave through a zod schema, because a file is outside data. */
export interface Db {
  /** Runs one statement; returns how many rows it changed. */
  run(sql: string, params?: readonly Value[]): number;
  /** The first row, or undefined. */
  get<T>(schema: z.ZodType<T>, sql: string, params?: readonly Value[]): T | undefined;
  all<T>(schema: z.ZodType<T>, sql: string, params?: readonly Value[]): T[];
  /** All of `work` or nothing of it; durable on disk when it returns. Nested calls join the outer transaction. */
  tx<T>(work: () => T): T;
  close(): void;
}

/** "NLPJ": says in the file header that this SQLite file is a Northlight project. */
const APPLICATION_ID = 0x4e4c504a;

/**
 * Opens or creates the database of a project, checks it and brings it to the current version. An existing file is copied
 * to `<path>.backup-v<version>` before it is migrated. WAL with `synchronous=FULL`: what a call acknowledged survives a
 * power cut. `steps` are the migrations to bring it through.
 * @throws NorthlightError `store/not-a-project`, `store/newer-version`, `store/locked`, `store/corrupt`, `store/not-writable`.
 */
export function openDb(path: string, steps: readonly string[] = migrations): Db {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: true, defensive: true });
  } catch (error) {
    throw storeError(error, path);
  }
  try {
    prepare(database, path, steps);
  } catch (error) {
    database.close();
    throw storeError(error, path);
  }
  return wrap(database, path);
}

function prepare(database: DatabaseSync, path: string, steps: readonly string[]): void {
  const applicationId = pragma(database, 'application_id');
  const version = pragma(database, 'user_version');
  const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n ?? 0);
  if (applicationId !== APPLICATION_ID && (applicationId !== 0 || tables > 0)) {
    throw new NorthlightError(
      'store/not-a-project',
      `${path} is a database of another program.`,
      'Choose a Northlight project folder, or an empty one.',
    );
  }
  if (version > steps.length) {
    throw new NorthlightError(
      'store/newer-version',
      `${path} was written by a newer Northlight (format ${version}; this one knows up to ${steps.length}).`,
      'Open it with that version, or a later one.',
    );
  }
  const check = database.prepare('PRAGMA quick_check(1)').get()?.quick_check;
  if (check !== 'ok') throw corrupt(path, String(check));

  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA fullfsync=1; PRAGMA trusted_schema=OFF;');
  if (version === steps.length) return;
  if (version > 0) {
    const backup = `${path}.backup-v${version}`;
    if (!existsSync(backup)) database.prepare('VACUUM INTO ?').run(backup);
  }
  database.exec('BEGIN IMMEDIATE');
  try {
    for (const migration of steps.slice(version)) database.exec(migration);
    database.exec(`PRAGMA application_id=${APPLICATION_ID}; PRAGMA user_version=${steps.length};`);
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function wrap(database: DatabaseSync, path: string): Db {
  const statements = new Map<string, StatementSync>();
  let depth = 0;
  const statement = (sql: string): StatementSync => {
    let found = statements.get(sql);
    if (!found) {
      found = database.prepare(sql);
      statements.set(sql, found);
    }
    return found;
  };
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw storeError(error, path);
    }
  };
  const parse = <T>(schema: z.ZodType<T>, row: unknown, sql: string): T => {
    const result = schema.safeParse(row);
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    throw corrupt(path, `a row of "${sql.slice(0, 80)}" has a wrong ${issue?.path.join('.')}: ${issue?.message}`);
  };
  return {
    run: (sql, params = []) => guarded(() => Number(statement(sql).run(...(params as SQLInputValue[])).changes)),
    get: (schema, sql, params = []) => {
      const row = guarded(() => statement(sql).get(...(params as SQLInputValue[])));
      return row === undefined ? undefined : parse(schema, { ...row }, sql);
    },
    all: (schema, sql, params = []) =>
      guarded(() => statement(sql).all(...(params as SQLInputValue[]))).map((row) => parse(schema, { ...row }, sql)),
    tx: (work) => {
      if (depth > 0) return work();
      guarded(() => database.exec('BEGIN IMMEDIATE'));
      depth++;
      try {
        const result = work();
        guarded(() => database.exec('COMMIT'));
        return result;
      } catch (error) {
        try {
          database.exec('ROLLBACK');
        } catch {
          // A failed COMMIT may already have rolled back; the first error is the one to report.
        }
        throw error;
      } finally {
        depth--;
      }
    },
    close: () => {
      statements.clear();
      try {
        database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      } catch {
        // The log stays beside the file and is merged at the next opening.
      }
      database.close();
    },
  };
}

function pragma(database: DatabaseSync, name: 'application_id' | 'user_version'): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

function corrupt(path: string, detail: string, cause?: unknown): NorthlightError {
  return new NorthlightError(
    'store/corrupt',
    `${path} is damaged: ${detail}`,
    'Pictures, runs and adapters beside it are intact. Restore this one file from a copy (or its .backup file).',
    { cause },
  );
}

/** SQLite's primary result codes (https://sqlite.org/rescode.html) as errors a person can act on. */
function storeError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof NorthlightError) return error;
  const code = (error as Error & { errcode?: number }).errcode;
  if (code === undefined) return error;
  switch (code & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return new NorthlightError(
        'store/locked',
        `${path} is being written by another program.`,
        'Close the other window or program that uses this project, then try again.',
        { cause: error },
      );
    case 26: // SQLITE_NOTADB
      return new NorthlightError(
        'store/not-a-project',
        `${path} is not a Northlight project: it is no database.`,
        'Choose another folder, or move this file away.',
        { cause: error },
      );
    case 11: // SQLITE_CORRUPT
      return corrupt(path, error.message, error);
    case 13: // SQLITE_FULL
      return new NorthlightError(
        'file/disk-full',
        `There is no room left to write ${path}; the last change was not stored.`,
        'Free some space, then try again.',
        { cause: error },
      );
    case 3: // SQLITE_PERM
    case 8: // SQLITE_READONLY
    case 14: // SQLITE_CANTOPEN
      return new NorthlightError(
        'store/not-writable',
        `${path} cannot be opened for writing: ${error.message}.`,
        'Choose a folder you may write to.',
        { cause: error },
      );
    default:
      return error;
  }
}
