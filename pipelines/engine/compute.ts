import type { ToCompute } from './job-protocol.ts';
import { type ComputePort, runCompute } from './run-compute.ts';

/**
 * Entry of a compute process: the only kind of process with networks in it. It is forked by Node (`hosts/node-host.ts`) or,
 * in the desktop app, as a utility process whose `parentPort` first brings a port to the engine.
 */

interface MessagePortLike {
  on(event: 'message', listener: (event: { data: unknown; ports: MessagePortLike[] }) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  postMessage(message: unknown): void;
  start(): void;
}

function nodePort(): ComputePort {
  return {
    send: (message) =>
      new Promise((resolve) => {
        if (process.send && process.connected) process.send(message, undefined, undefined, () => resolve());
        else resolve();
      }),
    onMessage: (listener) => {
      process.on('message', (message) => listener(message as ToCompute));
    },
    onClosed: (listener) => {
      process.on('disconnect', listener);
    },
    exit: (code) => process.exit(code),
  };
}

function electronPort(port: MessagePortLike): ComputePort {
  return {
    send: async (message) => port.postMessage(message),
    onMessage: (listener) => {
      port.on('message', (event) => listener(event.data as ToCompute));
      port.start();
    },
    onClosed: (listener) => {
      port.on('close', listener);
    },
    // A port gives no sign that its last message has left.
    exit: (code) => void setTimeout(() => process.exit(code), 200),
  };
}

const load = async () => (await import('./jobs/index.ts')).work;

process.on('unhandledRejection', (error) => {
  console.error(error);
  process.exit(1);
});

const parentPort = (process as unknown as { parentPort?: MessagePortLike }).parentPort;
if (parentPort) {
  parentPort.on('message', ({ ports: [port] }) => {
    if (port) runCompute(electronPort(port), load);
  });
} else {
  // Ctrl-C in a terminal reaches the whole group; it is the engine that decides what becomes of the job.
  process.on('SIGINT', () => {});
  runCompute(nodePort(), load);
}
