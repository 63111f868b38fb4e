import { useAuth } from '@clerk/react';
import { focusManager, useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { Trivet, type Schemas } from '@trivet/client';
import { createContext, useContext, useEffect, useMemo, type ReactNode } from 'react';
import { follow } from '../lib/follow';
import { edge } from './config';

interface Api {
  trivet: Trivet;
  /** Whose data the answers are: part of every query's key. */
  scope: string;
}

const Context = createContext<Api | null>(null);

export function ApiProvider({ children }: { children: ReactNode }) {
  const { getToken, userId, orgId } = useAuth();
  const api = useMemo(
    () => ({ trivet: new Trivet({ baseUrl: edge, token: ({ renew }) => getToken({ skipCache: renew }) }), scope: `${userId} ${orgId ?? ''}` }),
    [getToken, userId, orgId],
  );
  return <Context value={api}>{children}</Context>;
}

export function useApi(): Api {
  const api = useContext(Context);
  if (!api) throw new Error('useApi needs an ApiProvider');
  return api;
}

/** A query of the account that is signed in. Polling stops while the page is hidden. */
export function useApiQuery<T>(key: readonly unknown[], read: (trivet: Trivet, signal: AbortSignal) => Promise<T>, refetchInterval?: number): UseQueryResult<T> {
  const { trivet, scope } = useApi();
  return useQuery({ queryKey: [...key, scope], queryFn: ({ signal }) => read(trivet, signal), ...(refetchInterval && { refetchInterval }) });
}

export const useMe = () => useApiQuery(['me'], (trivet, signal) => trivet.get('/api/v1/me', {}, { signal }));
export const useAccount = () => useApiQuery(['account'], (trivet, signal) => trivet.get('/api/v1/billing/account', {}, { signal }), 15_000);
export const usePlans = () => useApiQuery(['plans'], (trivet, signal) => trivet.get('/api/v1/billing/plans', { query: { pageSize: 500 } }, { signal }));
export const useModels = () => useApiQuery(['models'], (trivet, signal) => trivet.get('/api/v1/models', { query: { pageSize: 500 } }, { signal }));

const anybody = new Trivet({ baseUrl: edge });

/**
 * The status needs no sign-in, and works without Clerk. An operator who is signed in also gets the figures. While the page is
 * shown, it follows the stream of the edge.
 */
export function useStatus(): UseQueryResult<Schemas['Status']> {
  const api = useContext(Context);
  const key = useMemo(() => ['status', api?.scope ?? ''], [api]);
  useStatusStream(key, api?.trivet ?? anybody);
  return useQuery({
    queryKey: key,
    queryFn: async ({ signal }) => {
      const read = (trivet: Trivet) => trivet.get('/api/v1/status', {}, { signal });
      try {
        return await read(api?.trivet ?? anybody);
      } catch (e) {
        if (!api || signal.aborted) throw e;
        return read(anybody); // without the credential, which may be what fails
      }
    },
  });
}

function useStatusStream(key: readonly string[], trivet: Trivet): void {
  const queries = useQueryClient();
  useEffect(() => {
    let following: AbortController | undefined;
    const start = () => {
      following?.abort();
      following = undefined;
      if (!focusManager.isFocused()) return; // a hidden page holds no connection
      following = new AbortController();
      void follow({
        open: (signal) => trivet.listen('/api/v1/status/stream', {}, { signal }),
        poll: () => queries.refetchQueries({ queryKey: key }),
        show: (report) => queries.setQueryData(key, report),
        expired: (before, report) => hasFigures(before) && !hasFigures(report),
      }, following.signal);
    };
    start();
    const unsubscribe = focusManager.subscribe(start);
    return () => {
      unsubscribe();
      following?.abort();
    };
  }, [key, trivet, queries]);
}

const hasFigures = (status: Schemas['Status']): boolean => Object.values(status.integrations).some((i) => i.figures);
