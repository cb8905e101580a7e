/** What a picture started from, so that it can be made again, and how early its prompt left the text encoder. */
export const starts = `
-- SHA-256 of the files of the picture and of the mask of what could change; NULL: noise alone, and everything.
ALTER TABLE samples ADD COLUMN start_picture TEXT;
ALTER TABLE samples ADD COLUMN start_mask TEXT;
-- 0 keeps the picture, 1 makes a new one.
ALTER TABLE samples ADD COLUMN strength REAL;
-- Layer of the text encoder, counted from the one that the model reads: 1.
ALTER TABLE samples ADD COLUMN clip_skip INTEGER NOT NULL DEFAULT 1;
CREATE INDEX samples_start_picture ON samples (start_picture) WHERE start_picture IS NOT NULL;
CREATE INDEX samples_start_mask ON samples (start_mask) WHERE start_mask IS NOT NULL;
`;
