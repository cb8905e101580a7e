import { homedir } from 'node:os';
import { join } from 'node:path';

/** Folder for what this user's Northlight has found out about this machine and its models. */
export function userDataFolder(
  platform: NodeJS.Platform = process.platform,
  env: Readonly<Record<string, string | undefined>> = process.env,
  home: string = homedir(),
): string {
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(home, 'AppData', 'Local'), 'Northlight');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'Northlight');
  return join(env.XDG_DATA_HOME || join(home, '.local', 'share'), 'northlight');
}
