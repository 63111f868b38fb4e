import './style.css';
import { ClerkProvider } from '@clerk/react';
import { createRoot } from 'react-dom/client';
import { App } from './app';

const proxy = import.meta.env.VITE_CLERK_PROXY_URL; // empty for Clerk itself

createRoot(document.getElementById('root')!).render(
  <ClerkProvider publishableKey={import.meta.env.VITE_CLERK_PUBLISHABLE_KEY} {...(proxy && { proxyUrl: proxy })} telemetry={false}>
    <App />
  </ClerkProvider>,
);
