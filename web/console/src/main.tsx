import './style.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { readConfig } from './app/config';
import { Root, Unconfigured } from './app/root';

const root = createRoot(document.getElementById('root') as HTMLElement);
const given = document.querySelector<HTMLMetaElement>('meta[name=csp-nonce]')?.content;
const nonce = given?.startsWith('__') ? undefined : given; // Vite's own server fills nothing in

readConfig().then(
  (config) => root.render(<StrictMode>{config.publishableKey ? <Root config={config} nonce={nonce} /> : <Unconfigured reason="" />}</StrictMode>),
  (error: unknown) => root.render(<Unconfigured reason={String(error)} />),
);
