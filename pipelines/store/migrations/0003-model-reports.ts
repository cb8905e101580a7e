/** What looking into a model folder told, kept while its files stay the same; and its hash once it is known. */
export const modelReports = `
CREATE TABLE model_reports (
  path TEXT PRIMARY KEY,
  -- Names, sizes and dates of the files that were looked at, hashed, with the version that looked.
  stamp TEXT NOT NULL,
  report TEXT NOT NULL,
  -- SHA-256 of what decides the model's output; empty while it is not known.
  hash TEXT NOT NULL DEFAULT ''
) STRICT;
`;
