import { ClerkProvider, useAuth } from '@clerk/react';
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { useMemo, useRef, useState } from 'react';
import { Router } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import { App } from './app';
import { useMedia } from '../lib/media';
import { appearance } from './appearance';
import { base, type Config } from './config';

export function Root({ config, nonce }: { config: Config; nonce: string | undefined }) {
  const dark = useMedia('(prefers-color-scheme: dark)');
  return (
    <ClerkProvider
      publishableKey={config.publishableKey}
      {...(config.clerkProxy && { proxyUrl: base.slice(0, -'/console'.length) + config.clerkProxy })}
      {...(nonce && { nonce })}
      telemetry={false}
      appearance={appearance(dark)}
      signInUrl={`${base}/`}
      signUpUrl={`${base}/sign-up`}
      signInFallbackRedirectUrl={`${base}/`}
      signUpFallbackRedirectUrl={`${base}/`}
      afterSignOutUrl={`${base}/`}
      routerPush={(to) => navigate(to)}
      routerReplace={(to) => navigate(to, { replace: true })}
    >
      <Queries sandbox={config.clerkProxy !== ''} />
    </ClerkProvider>
  );
}

/** Keeps the answers of the server, and notices when it no longer accepts the session. */
function Queries({ sandbox }: { sandbox: boolean }) {
  const { sessionId } = useAuth();
  const session = useRef(sessionId);
  if (sessionId) session.current = sessionId;
  const [ended, setEnded] = useState<string>();
  const client = useMemo(() => {
    // Before a 401 gets here, the client has renewed the token and tried once more, or Clerk has refused to renew it.
    const onError = (e: Error) => 'status' in e && e.status === 401 && setEnded(session.current ?? undefined);
    return new QueryClient({
      queryCache: new QueryCache({ onError }),
      mutationCache: new MutationCache({ onError }),
      defaultOptions: { queries: { retry: false, staleTime: 5_000 }, mutations: { retry: false } }, // the client retries by itself
    });
  }, []);
  return (
    <QueryClientProvider client={client}>
      <Router base={base}>
        <App ended={ended} sandbox={sandbox} />
      </Router>
    </QueryClientProvider>
  );
}

/** What a person sees when the edge does not know which Clerk to use. */
export function Unconfigured({ reason }: { reason: string }) {
  return (
    <main className="mx-auto mt-16 max-w-xl px-4">
      <h1 className="text-xl font-semibold">The console cannot start</h1>
      <p className="mt-2">{reason || 'The setting CLERK_PUBLISHABLE_KEY of the edge is empty, so nobody can sign in. Set it to the key of your Clerk instance and restart.'}</p>
    </main>
  );
}
