import { Activity, CreditCard, KeyRound, LayoutDashboard, MessageSquare, Table2, Users, Webhook, type LucideIcon } from 'lucide-react';
import { useMe } from './api';

export interface Page {
  path: '/' | '/usage' | '/playground' | '/keys' | '/members' | '/billing' | '/status' | '/events';
  name: string;
  icon: LucideIcon;
  /** Who sees it; everybody by default. The server decides who may call. */
  for?: 'admin' | 'operator';
}

const all: readonly Page[] = [
  { path: '/', name: 'Overview', icon: LayoutDashboard },
  { path: '/usage', name: 'Usage', icon: Table2 },
  { path: '/playground', name: 'Playground', icon: MessageSquare },
  { path: '/keys', name: 'API keys', icon: KeyRound, for: 'admin' },
  { path: '/members', name: 'Members', icon: Users },
  { path: '/billing', name: 'Billing', icon: CreditCard, for: 'admin' },
  { path: '/status', name: 'Status', icon: Activity },
  { path: '/events', name: 'Webhook events', icon: Webhook, for: 'operator' },
];

/** The pages that the caller may use; known is false until it is clear who that is. */
export function usePages(): { all: readonly Page[]; known: boolean } {
  const me = useMe();
  const identity = me.data?.identity;
  return { all: all.filter((page) => !page.for || identity?.[page.for]), known: me.isSuccess || me.isError };
}
