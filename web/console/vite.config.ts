import { fileURLToPath } from 'node:url';
import tailwind from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const edge = process.env['TRIVET_URL'] ?? 'http://127.0.0.1:8080';

// The base is relative, so that the console works under any prefix of a proxy. The browser asks for no more modules in
// advance than index.html names, which keeps the build free of helper code.
export default defineConfig(({ command }) => ({
  base: command === 'serve' ? '/console/' : './',
  plugins: [react(), tailwind()],
  resolve: { alias: { '@trivet/client': fileURLToPath(new URL('../../clients/typescript/src/index.ts', import.meta.url)) } },
  build: { target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  server: { proxy: Object.fromEntries(['/api', '/v1', '/__clerk', '/console/config.json'].map((path) => [path, edge])) },
}));
