import { ClerkFailed, ClerkLoading, Show, SignIn, SignUp, UserButton, useAuth } from '@clerk/react';
import { Trivet } from '@trivet/client';
import { useMemo } from 'react';
import { Chat } from './chat';
import { Payment } from './payment';

export function App() {
  return (
    <>
      <ClerkLoading><main className="center">Loading …</main></ClerkLoading>
      <ClerkFailed><main className="center" role="alert">The sign-in does not load. Your network or an ad blocker may block it. Please reload the page.</main></ClerkFailed>
      <Show when="signed-out">
        <main className="center">{location.pathname === '/sign-up' ? <SignUp routing="hash" signInUrl="/" /> : <SignIn routing="hash" signUpUrl="/sign-up" />}</main>
      </Show>
      <Show when="signed-in"><Product /></Show>
    </>
  );
}

function Product() {
  const { getToken } = useAuth();
  const trivet = useMemo(() => new Trivet({ baseUrl: '', token: ({ renew }) => getToken({ skipCache: renew }) }), [getToken]);
  return (
    <main>
      <header><h1>Chat on Trivet</h1><UserButton /></header>
      <Payment trivet={trivet} />
      <Chat trivet={trivet} />
    </main>
  );
}
