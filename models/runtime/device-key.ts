import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { arch, availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { runtimeVersion } from './session.ts';

/**
 * Names runtime, processor, graphics devices and their drivers, as 64 hex digits: a measurement holds while this stays the
 * same. Read from files, because asking a driver would load it.
 */
export function deviceKey(): string {
  const facts = {
    runtime: runtimeVersion(),
    platform: `${process.platform} ${arch()} ${release()}`,
    processor: `${cpus()[0]?.model ?? ''} × ${availableParallelism()}`,
    nvidia: textOf('/proc/driver/nvidia/version'),
    devices: drmDevices(),
    drivers: ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', driverStore()].map(stamp),
    chosen: ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'LD_LIBRARY_PATH', 'CUDA_VISIBLE_DEVICES'].map((name) => {
      const value = process.env[name] ?? '';
      return `${value} ${value === '' ? '' : stamp(value)}`;
    }),
  };
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Vendor and device number of each graphics card, on Linux. */
function drmDevices(): string[] {
  const root = '/sys/class/drm';
  if (!existsSync(root)) return [];
  const cards = readdirSync(root).filter((name) => /^card\d+$/.test(name));
  return cards.map((card) =>
    ['vendor', 'device', 'revision'].map((what) => textOf(join(root, card, 'device', what))).join(':'),
  );
}

/** Windows keeps every installed driver here: the folder's date moves with each installation. */
const driverStore = () => join(process.env.SystemRoot ?? '', 'System32', 'DriverStore', 'FileRepository');

/** Date and size of a file or folder, and the names in a folder; empty when there is none. */
function stamp(path: string): string {
  try {
    const { mtimeMs, size } = statSync(path);
    return `${mtimeMs} ${size}`;
  } catch {
    return '';
  }
}
