import { ClerkProvider } from '@clerk/react';
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { TrivetError } from '@trivet/client';
import { useMemo, useState } from 'react';
import { Router } from 'wouter';
import { navigate } from 'wouter/use-browser-location';
import { App } from './app';
import { useMedia } from '../lib/media';
import { appearance } from './appearance';
import { base, type Config } from './config';

export function Root({ config, nonce }: { config: Config; nonce: string | undefined }) {
  const [ended, setEnded] = useState(false);
  const dark = useMedia('(prefers-color-scheme: dark)');
  const client = useMemo(() => {
    // The client has renewed the token and tried once more before it reports a 401.
    const onError = (e: unknown) => e instanceof TrivetError && e.status === 401 && setEnded(true);
    return new QueryClient({
      queryCache: new QueryCache({ onError }),
      mutationCache: new MutationCache({ onError }),
      defaultOptions: { queries: { retry: false, staleTime: 5_000 }, mutations: { retry: false } }, // the client retries by itself
    });
  }, []);
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
      <QueryClientProvider client={client}>
        <Router base={base}>
          <App ended={ended} onSignedIn={() => setEnded(false)} />
        </Router>
      </QueryClientProvider>
    </ClerkProvider>
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
