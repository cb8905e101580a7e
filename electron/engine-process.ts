import { join } from 'node:path';
import type { MessagePortMain } from 'electron';
import { toPlainError } from '#models/errors.ts';
import type { Job, WireMessage } from '#pipelines/engine/contract.ts';
import { goOffline } from './offline.ts';
import { portWire } from './port-wire.ts';
import { createUtilityProcessHost } from './process-host.ts';
import type { FromEngine, ToEngine } from './protocol.ts';
import { watchJobs } from './watch-jobs.ts';

/** Entry of the engine process in the desktop app: no network, then the same engine as everywhere. */
goOffline();

const { parentPort } = process;
const toMain = (message: FromEngine) => parentPort.postMessage(message);

// In a utility process an unhandled rejection only warns; a half-broken engine is worse than a restarted one.
process.on('unhandledRejection', (error) => {
  console.error(error);
  process.exit(1);
});

const host = createUtilityProcessHost(toMain);

try {
  const at = process.argv.indexOf('--project');
  const folder = process.argv[at + 1];
  if (at < 0 || folder === undefined) throw new Error('The engine was started without a project folder.');
  const { createEngine } = await import('#pipelines/engine/engine.ts');
  const { serveWire } = await import('#pipelines/engine/wire.ts');
  const { createThumbnails } = await import('#pipelines/images/thumbnail.ts');
  const { openProject } = await import('#pipelines/store/project.ts');
  const { bundledModelsFolder } = await import('#pipelines/cli/bundled.ts');
  const project = openProject(folder);
  const thumbnails = createThumbnails(join(project.directory, 'samples'), join(project.directory, 'thumbnails'));
  const engine = createEngine({ project, host, kind: 'desktop', bundledModels: bundledModelsFolder, provider: 'auto' });
  const report = watchJobs((status) => toMain({ t: 'status', ...status }));
  engine.subscribe((name, payload) => {
    if (name === 'job') report(payload as Job);
  });
  const shutdown = async () => {
    await engine.close();
    project.close();
    process.exit(0);
  };
  parentPort.on('message', ({ data, ports }) => {
    const message = data as ToEngine;
    const [port] = ports as MessagePortMain[];
    if (host.receive(message, port)) return;
    if (message.t === 'window' && port !== undefined) serveWire(portWire<WireMessage>(port), engine);
    if (message.t === 'thumbnail') {
      const { hash } = message;
      void thumbnails.get(hash).then((path) => toMain({ t: 'thumbnail', hash, path }));
    }
    if (message.t === 'shutdown') void shutdown();
  });
  toMain({ t: 'ready' });
} catch (error) {
  const { message, hint } = toPlainError(error);
  toMain({ t: 'failed', message, hint });
  setTimeout(() => process.exit(1), 200);
}
