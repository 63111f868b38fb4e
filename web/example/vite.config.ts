import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig, loadEnv } from 'vite';

// The browser talks to this server only, which forwards to Trivet: no CORS, and one origin for Clerk.
export default defineConfig(({ mode }) => {
  const trivet = loadEnv(mode, fileURLToPath(new URL('.', import.meta.url)), 'TRIVET_')['TRIVET_URL'];
  if (!trivet) throw new Error('TRIVET_URL is not set: .env names the address of Trivet');
  return {
    plugins: [react()],
    // The package @trivet/client is not published yet, so the example takes its source.
    resolve: { alias: { '@trivet/client': fileURLToPath(new URL('../../clients/typescript/src/index.ts', import.meta.url)) } },
    server: { port: 5173, proxy: { '/api': trivet, '/__clerk': trivet } },
  };
});
