/** What one small step through a model showed, kept while its files stay the same. */
export const drySteps = `
-- JSON; NULL: not tried.
ALTER TABLE model_reports ADD COLUMN dry_step TEXT;
`;
