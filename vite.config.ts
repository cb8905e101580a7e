import { resolve } from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Builds the window: static files that work from any origin under the strict content security policy (nothing inline). */
export default defineConfig({
  root: resolve(import.meta.dirname, 'renderer'),
  publicDir: false,
  plugins: [react()],
  build: {
    outDir: resolve(import.meta.dirname, 'build/out/renderer'),
    emptyOutDir: true,
    // Electron 45 and any current browser; keeps light-dark() and nesting as written.
    target: 'chrome130',
    cssTarget: 'chrome130',
    // data: URLs are refused by img-src, and the module preload helper would be an inline style of its own.
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
  },
});
