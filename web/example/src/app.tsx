import { Show, SignIn, UserButton, useAuth } from '@clerk/react';
import { Trivet } from '@trivet/client';
import { useMemo } from 'react';
import { Chat } from './chat';
import { Payment } from './payment';

export function App() {
  return (
    <>
      <Show when="signed-out">
        <main className="center"><SignIn routing="hash" /></main>
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
