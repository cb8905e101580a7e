import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const serve = defineCommand({
  name: 'serve',
  summary: 'the window in a browser of this machine, behind a token',
  details:
    'Prints an address that works once, for the browser that opens it first. Listens on 127.0.0.1 only. Without --project it ' +
    'opens Northlight/default in your home folder. Ctrl-C pauses the running job and ends.',
  options: z.object({
    port: z.int().min(0).max(65535).default(0).describe('port on 127.0.0.1; 0 chooses a free one'),
  }),
  async run({ port, project: folder, threads, provider }, io) {
    const { existsSync } = await import('node:fs');
    const { homedir } = await import('node:os');
    const { join } = await import('node:path');
    const { NorthlightError } = await import('#models/errors.ts');
    const { bundledModelsFolder } = await import('#pipelines/cli/bundled.ts');
    const { createEngine } = await import('#pipelines/engine/engine.ts');
    const { createNodeHost } = await import('#pipelines/engine/hosts/node-host.ts');
    const { startHttpServer } = await import('#pipelines/engine/http-server.ts');
    const { openProject } = await import('#pipelines/store/project.ts');

    const renderer = join(import.meta.dirname, '..', '..', '..', 'build', 'out', 'renderer');
    if (!existsSync(join(renderer, 'index.html'))) {
      throw new NorthlightError('serve/no-window', 'The window has not been built yet.', 'Run npm run build once.');
    }
    const stopped = stopSignal(io.signal);
    const project = openProject(folder ?? join(homedir(), 'Northlight', 'default'));
    try {
      const engine = createEngine({
        project,
        host: createNodeHost(),
        kind: 'browser',
        bundledModels: bundledModelsFolder,
        provider,
        ...(threads !== undefined && { threads }),
      });
      try {
        const server = await startHttpServer({ engine, renderer, samples: join(project.directory, 'samples'), port });
        const ready = { type: 'ready', url: server.url, project: project.directory };
        process.stdout.write(io.json ? `${JSON.stringify(ready)}\n` : `Open ${server.url}\n`);
        io.note(`Project ${project.directory}. Press Ctrl-C to end.`);
        io.whenStopped('The project is closed; a job that was running is paused and can be resumed.');
        await stopped;
        await server.close();
      } finally {
        await engine.close();
      }
    } finally {
      project.close();
    }
    return { project: project.directory };
  },
  show: ({ project }) => `Closed ${project}.`,
});

/** Resolves at Ctrl-C, or when the terminal is closed. */
function stopSignal(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGHUP', () => resolve());
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
