/** Sequences that models wrote, and what rewards said of them. Their letters are short enough to stand in the row. */
export const sequences = `
CREATE TABLE sequences (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  -- SHA-256 of the letters.
  hash TEXT NOT NULL,
  letters TEXT NOT NULL,
  -- Null: no class was asked for.
  class_name TEXT,
  model_id TEXT NOT NULL REFERENCES models (id),
  adapter_id TEXT REFERENCES adapters (id),
  seed INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  scheduler TEXT NOT NULL,
  eta REAL NOT NULL,
  guidance_scale REAL NOT NULL,
  job_id TEXT NOT NULL REFERENCES jobs (id),
  created_at TEXT NOT NULL,
  UNIQUE (job_id, idx)
) STRICT;
CREATE INDEX sequences_by_hash ON sequences (hash);

CREATE TABLE sequence_rewards (
  -- The reward as it was asked for: a name, with its options if it has any.
  reward TEXT NOT NULL,
  sequence INTEGER NOT NULL REFERENCES sequences (seq) ON DELETE CASCADE,
  value REAL NOT NULL,
  PRIMARY KEY (reward, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX sequences_by_reward ON sequence_rewards (reward, value, sequence);
CREATE INDEX rewards_of_sequence ON sequence_rewards (sequence, reward, value);
`;
