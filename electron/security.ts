import type { App, CustomScheme, IpcMainInvokeEvent, Session, WebContents } from 'electron';

/** The one page of the app. Everything else is refused. */
export const SCHEME = 'app';
export const HOST = 'bundle';
export const PAGE_URL = `${SCHEME}://${HOST}/index.html`;

/** Nothing inline, nothing evaluated, nothing from elsewhere. Sent with every answer of the scheme. */
export const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
  "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** `bypassCSP` and `corsEnabled` stay off. */
export const SCHEMES: readonly CustomScheme[] = [
  { scheme: SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true } },
];

/** Chromium's own services that would use the network. Must be set before the app is ready. */
const SWITCHES: readonly (readonly [string, string?])[] = [
  ['disable-background-networking'],
  ['disable-component-update'],
  ['disable-domain-reliability'],
  ['disable-sync'],
  ['no-pings'],
  ['host-resolver-rules', 'MAP * ~NOTFOUND'],
];

/** What has to happen before `ready`: sandbox for every renderer, no name resolution, no background services. */
export function secureBeforeReady(app: Pick<App, 'enableSandbox' | 'commandLine'>): void {
  app.enableSandbox();
  for (const [name, value] of SWITCHES) app.commandLine.appendSwitch(name, value);
}

/** `new URL('app://bundle/x').origin` is "null" in Node, so scheme and host are compared instead. */
export function isOurPage(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && parsed.protocol === `${SCHEME}:` && parsed.host === HOST && parsed.username === '';
}

/** Addresses a page may load from. `devtools:` only exists where developer tools are switched on. */
const LOCAL_PROTOCOLS = new Set([`${SCHEME}:`, 'devtools:', 'blob:', 'data:']);

/** No request leaves this machine, no permission is granted, nothing is downloaded, no dictionary is fetched. */
export async function secureSession(session: Session): Promise<void> {
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
  session.setDisplayMediaRequestHandler((_request, callback) => callback(null));
  session.webRequest.onBeforeRequest((details, callback) => {
    const protocol = URL.parse(details.url)?.protocol;
    callback({ cancel: protocol === undefined || !LOCAL_PROTOCOLS.has(protocol) });
  });
  session.on('will-download', (event) => event.preventDefault());
  session.setSpellCheckerEnabled(false);
  // A proxy that is not there, also for loopback: a request that slipped through the rules above still goes nowhere.
  await session.setProxy({ proxyRules: 'http://127.0.0.1:9', proxyBypassRules: '<-loopback>' });
}

/** Keeps a page where it is: no other address, no new window, no embedded page, no WebRTC around the proxy. */
export function lockContents(contents: WebContents): void {
  const refuseElsewhere = (event: { preventDefault(): void; url: string }) => {
    if (!isOurPage(event.url)) event.preventDefault();
  };
  contents.on('will-navigate', refuseElsewhere);
  contents.on('will-frame-navigate', refuseElsewhere);
  contents.on('will-redirect', refuseElsewhere);
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.setWindowOpenHandler(() => ({ action: 'deny' }));
  contents.setWebRTCIPHandlingPolicy('disable_non_proxied_udp');
}

/** True for a message from the main frame of our own window while it shows our own page. */
export function isTrustedSender(event: Pick<IpcMainInvokeEvent, 'sender' | 'senderFrame'>, ours: WebContents): boolean {
  const { sender, senderFrame } = event;
  return sender === ours && senderFrame !== null && senderFrame === sender.mainFrame && isOurPage(senderFrame.url);
}
