import type { MessagePortMain } from 'electron';
import type { FromCompute, ToCompute } from '#pipelines/engine/job-protocol.ts';
import type { ComputeHandle, ProcessHost } from '#pipelines/engine/process-host.ts';
import { type PortWire, portWire } from './port-wire.ts';
import type { FromEngine, ToEngine } from './protocol.ts';

/** The engine's side of compute processes that the main process forks for it. */
export interface UtilityProcessHost extends ProcessHost {
  /** Takes what the main process says about compute processes; returns false for other messages. */
  receive(message: ToEngine, port: MessagePortMain | undefined): boolean;
}

interface Child {
  wire: PortWire<ToCompute, FromCompute> | undefined;
  pid: number | undefined;
  readonly outbox: ToCompute[];
  readonly listeners: ((message: FromCompute) => void)[];
  readonly exitListeners: ((detail: string) => void)[];
  closed: boolean;
  exit: string | undefined;
  ended: boolean;
}

/** The port's last messages may arrive after the news of the exit; a port that never closes is not waited for longer. */
const LAST_MESSAGES_MS = 500;

/** Only the main process can fork utility processes, so `fork` asks it, and messages wait until the port is there. */
export function createUtilityProcessHost(toMain: (message: FromEngine) => void): UtilityProcessHost {
  const children = new Map<number, Child>();
  let nextId = 1;

  const end = (id: number, child: Child) => {
    if (child.ended) return;
    child.ended = true;
    children.delete(id);
    child.wire?.close();
    for (const listener of child.exitListeners) listener(child.exit ?? 'ended');
  };

  return {
    fork(): ComputeHandle {
      const id = nextId++;
      const child: Child = {
        wire: undefined,
        pid: undefined,
        outbox: [],
        listeners: [],
        exitListeners: [],
        closed: false,
        exit: undefined,
        ended: false,
      };
      children.set(id, child);
      toMain({ t: 'spawn', id });
      return {
        get pid() {
          return child.pid;
        },
        send(message) {
          if (child.ended) return;
          if (child.wire === undefined) child.outbox.push(message);
          else child.wire.send(message);
        },
        onMessage: (listener) => void child.listeners.push(listener),
        onExit(listener) {
          if (child.ended) listener(child.exit ?? 'ended');
          else child.exitListeners.push(listener);
        },
        kill: () => toMain({ t: 'kill', id }),
      };
    },

    receive(message, port) {
      if (message.t === 'window' || message.t === 'shutdown' || message.t === 'thumbnail') return false;
      const child = children.get(message.id);
      if (child === undefined) return true;
      if (message.t === 'compute-pid') child.pid = message.pid;
      if (message.t === 'compute' && port !== undefined) {
        const wire = portWire<ToCompute, FromCompute>(port);
        child.wire = wire;
        wire.onClose(() => {
          child.closed = true;
          if (child.exit !== undefined) end(message.id, child);
        });
        wire.onMessage((received) => {
          for (const listener of child.listeners) listener(received);
        });
        for (const waiting of child.outbox.splice(0)) wire.send(waiting);
      }
      if (message.t === 'compute-exit') {
        child.exit = message.detail;
        if (child.closed || child.wire === undefined) end(message.id, child);
        else setTimeout(() => end(message.id, child), LAST_MESSAGES_MS);
      }
      return true;
    },
  };
}
