import { type Client, createClient } from '#renderer/transport/client.ts';
import { messagePortTransport } from '#renderer/transport/message-port.ts';
import { webSocketTransport, webSocketUrl } from '#renderer/transport/websocket.ts';
import type { Transport } from '#renderer/transport/wire.ts';

let transport: Transport | null = null;

/** The desktop window is served from the app's own scheme and gets a port; a browser opens a WebSocket to its server. */
const transportOfThisWindow: Transport = (events) => {
  transport ??= location.protocol === 'app:' ? messagePortTransport() : webSocketTransport(webSocketUrl(location));
  return transport(events);
};

/** The one line of this window to the engine. Started by `main.tsx`. */
export const engine: Client = createClient(transportOfThisWindow);
