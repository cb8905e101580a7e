import { openProject } from '#pipelines/store/project.ts';
import { engineOn } from './engine-parts.ts';

/** Votes as fast as it can and prints the id of each question whose vote was acknowledged, until it is killed. */
const [, , directory = '', bundled = '', sessionId = '', jobId = ''] = process.argv;
const { engine, handles } = engineOn(openProject(directory), bundled);
if (jobId !== '') {
  await engine.call('jobs.resume', { id: jobId });
  process.stdout.write(`compute ${handles[0]?.pid}\n`);
}
let question = await engine.call('sessions.question', { id: sessionId });
while (question) {
  const trialId = question.trialId;
  ({ next: question } = await engine.call('sessions.vote', { trialId, outcome: 'left', responseMs: 1 }));
  process.stdout.write(`${trialId}\n`);
  // Lets messages of the compute process in.
  await new Promise((resolve) => setImmediate(resolve));
}
