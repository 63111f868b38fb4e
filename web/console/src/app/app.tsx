import { SignIn, SignUp, useAuth, useClerk } from '@clerk/react';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Redirect, Route, Switch, useLocation, useSearch } from 'wouter';
import { Loading } from '../components/ui';
import { ApiProvider } from './api';
import { base } from './config';
import { Layout } from './layout';
import { usePages } from './pages';
import { Unavailable } from './unavailable';

const PATIENCE = 10_000;

/** Waits for Clerk, then shows the sign-in or the pages. ended is the session that the server has refused last. */
export function App({ ended, sandbox }: { ended: string | undefined; sandbox: boolean }) {
  const { isLoaded, isSignedIn, sessionId } = useAuth();
  const late = useLate(!isLoaded);
  if (!isLoaded) return late ? <Unavailable /> : <Waiting />;
  if (!isSignedIn) return <SignedOut ended={ended !== undefined} sandbox={sandbox} />;
  if (ended === sessionId) return <SessionEnded />;
  return (
    <ApiProvider>
      <Pages />
    </ApiProvider>
  );
}

function useLate(waiting: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!waiting) return;
    const timer = setTimeout(() => setLate(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [waiting]);
  return waiting && late;
}

function Waiting() {
  return (
    <main className="mx-auto mt-24 max-w-sm px-4">
      <Loading label="Loading the sign-in" rows={3} />
    </main>
  );
}

function SignedOut({ ended, sandbox }: { ended: boolean; sandbox: boolean }) {
  const [at] = useLocation();
  const search = useSearch();
  const signUp = at === '/sign-up';
  const wanted = base + (signUp ? '/' : at) + (search && !signUp ? `?${search}` : ''); // the page that the person has opened
  const queries = useQueryClient();
  useEffect(() => {
    queries.clear();
  }, [queries]); // nothing of the person before stays in memory
  return (
    <main className="grid min-h-dvh place-items-center px-4 py-8">
      <div>
        <h1 className="sr-only">Trivet console</h1>
        {ended && <p role="alert" className="mb-4 max-w-sm text-center text-sm text-warn">Your session is no longer valid. Please sign in again.</p>}
        {signUp ? <SignUp routing="hash" signInUrl={`${base}/`} /> : <SignIn routing="hash" signUpUrl={`${base}/sign-up`} fallbackRedirectUrl={wanted} />}
        {sandbox && (
          <p className="mt-4 max-w-sm text-center text-sm text-mute">
            The sandbox stands in for Clerk. Sign in as user_alice@example.test, or as the operator user_operator@example.test, or sign up with any address. The code is always 424242.
          </p>
        )}
      </div>
    </main>
  );
}

/** Signs the browser out of a session that the server refuses, so that the person can sign in again. */
function SessionEnded() {
  const { signOut } = useClerk();
  useEffect(() => {
    void signOut();
  }, [signOut]);
  return <Waiting />;
}

const lazyPages = {
  '/': lazy(() => import('../pages/overview')),
  '/usage': lazy(() => import('../pages/usage')),
  '/requests': lazy(() => import('../pages/requests')),
  '/playground': lazy(() => import('../pages/playground')),
  '/keys': lazy(() => import('../pages/keys')),
  '/members': lazy(() => import('../pages/members')),
  '/billing': lazy(() => import('../pages/billing')),
  '/status': lazy(() => import('../pages/status')),
  '/events': lazy(() => import('../pages/events')),
  '/reconcile': lazy(() => import('../pages/reconcile')),
};

function Pages() {
  const pages = usePages();
  return (
    <Layout pages={pages.all}>
      <Suspense fallback={<Loading label="Loading the page" />}>
        <Switch>
          {pages.all.map(({ path }) => <Route key={path} path={path} component={lazyPages[path]} />)}
          <Route>{pages.known ? <Redirect to="/" replace /> : <Loading label="Loading the page" />}</Route>
        </Switch>
      </Suspense>
    </Layout>
  );
}
