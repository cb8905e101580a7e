import dgram from 'node:dgram';
import dns from 'node:dns';
import net from 'node:net';
import { NorthlightError } from '#models/errors.ts';

/** A function that can stand for a method as well as for a class. */
const refuse = (what: string) =>
  function refused(): never {
    throw new NorthlightError('internal/offline', `${what} was stopped: Northlight never uses the network.`);
  };

/**
 * Makes network use in this process throw: sockets to hosts, name look-ups, datagrams, `fetch`, `WebSocket`. Pipes to local
 * programs and local (named) sockets still work. For the engine and compute processes, before anything else is loaded.
 */
export function goOffline(): void {
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function guarded(this: net.Socket, ...args: unknown[]): net.Socket {
    const first = Array.isArray(args[0]) ? (args[0] as unknown[])[0] : args[0];
    const isLocal =
      (typeof first === 'object' && first !== null && typeof (first as { path?: unknown }).path === 'string') ||
      (typeof first === 'string' && Number.isNaN(Number(first)));
    if (!isLocal) return refuse('A network connection')();
    return Reflect.apply(connect, this, args) as net.Socket;
  } as typeof connect;
  for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6', 'reverse'] as const) {
    Reflect.set(dns, name, refuse('A name look-up'));
    Reflect.set(dns.promises, name, refuse('A name look-up'));
  }
  dgram.Socket.prototype.send = refuse('A datagram') as typeof dgram.Socket.prototype.send;
  dgram.Socket.prototype.connect = refuse('A datagram') as typeof dgram.Socket.prototype.connect;
  globalThis.fetch = refuse('fetch') as unknown as typeof fetch;
  Reflect.set(globalThis, 'WebSocket', refuse('WebSocket'));
}
