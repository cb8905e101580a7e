import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { listProviders } from '#models/runtime/providers.ts';

/** Debian's chromium carries a Vulkan device in software, and the loader for it. */
const CHROMIUM = '/usr/lib/chromium';
const SOFTWARE = `${CHROMIUM}/vk_swiftshader_icd.json`;

/**
 * Whether WebGPU works here: with a device of the machine's own, else with Chromium's in software, for which the environment of
 * child processes is set. Says so aloud when neither does. With REQUIRE_WEBGPU=1 that is an error.
 */
export async function webgpuHere(): Promise<boolean> {
  const works = async () =>
    (await listProviders({ providers: ['webgpu'], cacheFolder: null })).some(({ trusted }) => trusted);
  if (!existsSync(SOFTWARE) || process.env.VK_DRIVER_FILES) {
    if (await works()) return true;
  } else {
    Object.assign(process.env, {
      VK_DRIVER_FILES: SOFTWARE,
      VK_ICD_FILENAMES: SOFTWARE,
      LD_LIBRARY_PATH: [CHROMIUM, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'),
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(),
    });
    if (await works()) return true;
  }
  const message = 'SKIPPED (no WebGPU device, and no Chromium with one in software): tests of WebGPU';
  if (process.env.REQUIRE_WEBGPU === '1') throw new Error(message);
  console.warn(message);
  return false;
}
