import { useQueries } from '@tanstack/react-query';
import { TrivetError, type Trivet } from '@trivet/client';
import { Activity, CreditCard, GitCompare, KeyRound, LayoutDashboard, List, MessageSquare, Table2, Users, Webhook, type LucideIcon } from 'lucide-react';
import { useApi, useMe } from './api';

export interface Page {
  path: '/' | '/usage' | '/requests' | '/playground' | '/keys' | '/members' | '/billing' | '/status' | '/events' | '/reconcile';
  name: string;
  icon: LucideIcon;
  /** Who sees it; everybody by default. The server decides who may call. */
  for?: 'admin' | 'operator';
  /** A call that shows whether the page's API exists. The page is hidden while it does not. */
  probe?: (trivet: Trivet, signal: AbortSignal) => Promise<unknown>;
}

const all: readonly Page[] = [
  { path: '/', name: 'Overview', icon: LayoutDashboard },
  { path: '/usage', name: 'Usage', icon: Table2 },
  { path: '/requests', name: 'Requests', icon: List, probe: (trivet, signal) => trivet.get('/api/v1/requests', { query: { pageSize: 1 } }, { signal }) },
  { path: '/playground', name: 'Playground', icon: MessageSquare },
  { path: '/keys', name: 'API keys', icon: KeyRound, for: 'admin' },
  { path: '/members', name: 'Members', icon: Users },
  { path: '/billing', name: 'Billing', icon: CreditCard, for: 'admin' },
  { path: '/status', name: 'Status', icon: Activity },
  { path: '/events', name: 'Events', icon: Webhook, for: 'operator' },
  { path: '/reconcile', name: 'Reconcile', icon: GitCompare, for: 'operator' },
];

const probed = all.filter((page) => page.probe);

/** The pages that the caller may use; known is false until it is clear which these are. */
export function usePages(): { all: readonly Page[]; known: boolean } {
  const { trivet, scope } = useApi();
  const me = useMe();
  const identity = me.data?.identity;
  const probes = useQueries({
    queries: probed.map(({ path, probe }) => ({ queryKey: ['probe', path, scope], staleTime: Infinity, queryFn: async ({ signal }: { signal: AbortSignal }) => exists(probe?.(trivet, signal)) })),
  });
  const missing = new Set(probed.filter((_, i) => probes[i]?.data !== true).map((page) => page.path));
  return {
    all: all.filter((page) => (!page.for || identity?.[page.for]) && !missing.has(page.path)),
    known: (me.isSuccess || me.isError) && probes.every((probe) => !probe.isPending),
  };
}

/** Whether an API exists: any answer but NOT_IMPLEMENTED comes from it. */
async function exists(call: Promise<unknown> | undefined): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (e) {
    if (e instanceof TrivetError && e.status === 401) throw e;
    return !(e instanceof TrivetError && e.code === 'NOT_IMPLEMENTED');
  }
}
