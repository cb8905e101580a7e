/**
 * Models, jobs, pictures, ranking sessions with their questions and votes, runs and adapters. Paths of what lies inside the
 * project are relative to it, so that the folder can be moved.
 */
export const first = `
CREATE TABLE models (
  id TEXT PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  bundled INTEGER NOT NULL CHECK (bundled IN (0, 1)),
  added_at TEXT NOT NULL,
  removed_at TEXT
) STRICT;

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('generate', 'tune', 'compare', 'verify')),
  title TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'set-aside')),
  stage TEXT NOT NULL DEFAULT '',
  done REAL NOT NULL DEFAULT 0,
  total REAL NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  finished_at TEXT,
  -- Place in the queue: jobs run in this order; a resumed job goes to the end.
  place INTEGER NOT NULL,
  -- Crashes in a row.
  crashes INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  -- Everything the compute process is told, as JSON, and what the engine remembers beside it (model, adapters).
  payload TEXT NOT NULL,
  origin TEXT NOT NULL,
  result TEXT,
  run_id TEXT,
  session_id TEXT
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, place);

CREATE TABLE adapters (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  model_id TEXT NOT NULL REFERENCES models (id),
  run_id TEXT,
  hash TEXT NOT NULL,
  path TEXT NOT NULL,
  rank INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  verified_difference REAL
) STRICT;
CREATE UNIQUE INDEX one_adapter_per_run ON adapters (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE samples (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  hash TEXT NOT NULL,
  prompt TEXT NOT NULL,
  negative_prompt TEXT NOT NULL,
  model_id TEXT NOT NULL REFERENCES models (id),
  adapter_id TEXT REFERENCES adapters (id),
  seed INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  scheduler TEXT NOT NULL,
  eta REAL NOT NULL,
  guidance_scale REAL NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  has_trajectory INTEGER NOT NULL,
  starred INTEGER NOT NULL DEFAULT 0,
  job_id TEXT NOT NULL REFERENCES jobs (id),
  position INTEGER NOT NULL,
  -- Blind comparisons: which adapter made it. Such pictures stay hidden from lists until the comparison is answered.
  side TEXT NOT NULL DEFAULT '' CHECK (side IN ('', 'A', 'B')),
  hidden INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  UNIQUE (job_id, side, position)
) STRICT;
CREATE INDEX samples_by_hash ON samples (hash);

CREATE TABLE sessions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('rank', 'blind')),
  mode TEXT NOT NULL CHECK (mode IN ('pair', 'best-of-n')),
  name TEXT NOT NULL,
  model_id TEXT NOT NULL REFERENCES models (id),
  adapter_a TEXT REFERENCES adapters (id),
  adapter_b TEXT REFERENCES adapters (id),
  seed INTEGER NOT NULL,
  -- Blind: how many questions there will be.
  planned INTEGER,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE session_samples (
  session_id TEXT NOT NULL REFERENCES sessions (id),
  sample_id TEXT NOT NULL REFERENCES samples (id),
  PRIMARY KEY (session_id, sample_id)
) STRICT, WITHOUT ROWID;

-- A question as it was shown: slots is a JSON array of sample ids, left to right.
CREATE TABLE trials (
  id TEXT PRIMARY KEY,
  session_id TEXT NOT NULL REFERENCES sessions (id),
  number INTEGER NOT NULL,
  prompt TEXT NOT NULL,
  slots TEXT NOT NULL,
  created_at TEXT NOT NULL,
  UNIQUE (session_id, number)
) STRICT;

-- Only ever appended to: undo marks a vote void, it never removes it.
CREATE TABLE votes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  trial_id TEXT NOT NULL REFERENCES trials (id),
  outcome TEXT CHECK (outcome IN ('left', 'right', 'tie', 'both-bad', 'skip')),
  winner_id TEXT REFERENCES samples (id),
  strong INTEGER NOT NULL DEFAULT 0,
  response_ms REAL,
  created_at TEXT NOT NULL,
  voided_at TEXT,
  CHECK ((outcome IS NULL) <> (winner_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_vote_per_trial ON votes (trial_id) WHERE voided_at IS NULL;

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  job_id TEXT NOT NULL REFERENCES jobs (id),
  algorithm TEXT NOT NULL,
  model_id TEXT NOT NULL REFERENCES models (id),
  name TEXT NOT NULL,
  step INTEGER NOT NULL DEFAULT 0,
  total_steps INTEGER NOT NULL DEFAULT 0,
  directory TEXT NOT NULL,
  config TEXT NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE strips (
  run_id TEXT NOT NULL REFERENCES runs (id),
  step INTEGER NOT NULL,
  pictures TEXT NOT NULL,
  PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
`;
