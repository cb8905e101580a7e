/**
 * Finding pictures again: a trash, tags, scores by rewards, and a full-text index of prompts. Job kinds are checked where
 * rows are read, no longer by the table, so that a new kind needs no new table.
 */
export const gallery = `
ALTER TABLE jobs ADD COLUMN kind_of_job TEXT NOT NULL DEFAULT '';
UPDATE jobs SET kind_of_job = kind;
ALTER TABLE jobs DROP COLUMN kind;
ALTER TABLE jobs RENAME COLUMN kind_of_job TO kind;

-- In the trash since; votes on it stay.
ALTER TABLE samples ADD COLUMN trashed_at TEXT;
CREATE INDEX samples_shown ON samples (seq) WHERE hidden = 0 AND trashed_at IS NULL;
CREATE INDEX samples_by_seed ON samples (seed, seq) WHERE hidden = 0 AND trashed_at IS NULL;
CREATE INDEX samples_starred ON samples (seq) WHERE hidden = 0 AND trashed_at IS NULL AND starred = 1;
CREATE INDEX samples_trashed ON samples (seq) WHERE trashed_at IS NOT NULL;
CREATE INDEX samples_by_adapter ON samples (adapter_id, seq);

CREATE TABLE tags (
  id INTEGER PRIMARY KEY,
  -- Normalised: see tags.ts.
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE sample_tags (
  tag INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
  sample INTEGER NOT NULL REFERENCES samples (seq) ON DELETE CASCADE,
  PRIMARY KEY (tag, sample)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_of_sample ON sample_tags (sample, tag);

CREATE TABLE sample_rewards (
  -- The reward as it was asked for: a name, with its options if it has any.
  reward TEXT NOT NULL,
  sample INTEGER NOT NULL REFERENCES samples (seq) ON DELETE CASCADE,
  value REAL NOT NULL,
  PRIMARY KEY (reward, sample)
) STRICT, WITHOUT ROWID;
CREATE INDEX samples_by_reward ON sample_rewards (reward, value, sample);
CREATE INDEX rewards_of_sample ON sample_rewards (sample, reward, value);

CREATE VIRTUAL TABLE samples_fts USING fts5 (
  prompt, content='samples', content_rowid='seq', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
CREATE TRIGGER samples_fts_insert AFTER INSERT ON samples BEGIN
  INSERT INTO samples_fts (rowid, prompt) VALUES (new.seq, new.prompt);
END;
CREATE TRIGGER samples_fts_delete AFTER DELETE ON samples BEGIN
  INSERT INTO samples_fts (samples_fts, rowid, prompt) VALUES ('delete', old.seq, old.prompt);
END;
CREATE TRIGGER samples_fts_update AFTER UPDATE OF prompt ON samples BEGIN
  INSERT INTO samples_fts (samples_fts, rowid, prompt) VALUES ('delete', old.seq, old.prompt);
  INSERT INTO samples_fts (rowid, prompt) VALUES (new.seq, new.prompt);
END;
INSERT INTO samples_fts (samples_fts) VALUES ('rebuild');
`;
