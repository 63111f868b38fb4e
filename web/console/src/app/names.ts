import { useOrganization, useUser } from '@clerk/react';
import { useApiQuery, useMe, usePlans } from './api';

/** The members of the account as Clerk names them, by id; and as a list for a choice. */
export function useMembers(): { list: readonly (readonly [string, string])[]; name: (userId: string) => string } {
  const { user } = useUser();
  const { memberships } = useOrganization({ memberships: { pageSize: 100 } });
  const people = memberships?.data?.map((m) => m.publicUserData) ?? [];
  const names = new Map<string, string>();
  if (user) names.set(user.id, nameOf(user.firstName, user.lastName, user.primaryEmailAddress?.emailAddress) || user.id);
  for (const p of people) if (p?.userId) names.set(p.userId, nameOf(p.firstName, p.lastName, p.identifier) || p.userId);
  return { list: [...names], name: (id) => names.get(id) ?? id };
}

const nameOf = (first: string | null, last: string | null, otherwise: string | undefined): string => [first, last].filter(Boolean).join(' ') || (otherwise ?? '');

/** How people know a plan; its id for one that is not on sale. */
export function usePlanName(): (planId: string) => string {
  const plans = usePlans();
  return (id) => plans.data?.plans.find((plan) => plan.id === id)?.name || id;
}

/** The account's API keys by name, for those who may list them. */
export function useKeyNames(): { list: readonly (readonly [string, string])[]; name: (apiKeyId: string) => string } {
  const admin = useMe().data?.identity.admin ?? false;
  const keys = useApiQuery(['keyNames', admin], async (trivet, signal) => (admin ? (await trivet.get('/api/v1/apiKeys', { query: { pageSize: 500 } }, { signal })).apiKeys : []));
  const names = new Map((keys.data ?? []).map((key) => [key.id, key.name]));
  return { list: [...names], name: (id) => names.get(id) ?? id };
}

/** The newest accounts with their names, for operators: organizations, and people. */
export function useAccounts(): readonly (readonly [string, string])[] {
  const operator = useMe().data?.identity.operator ?? false;
  const accounts = useApiQuery(['accounts', operator], async (trivet, signal) => {
    if (!operator) return [];
    const [{ organizations }, { users }] = await Promise.all([
      trivet.get('/api/v1/organizations', { query: { pageSize: 200 } }, { signal }), trivet.get('/api/v1/users', { query: { pageSize: 200 } }, { signal }),
    ]);
    return [...organizations.map((o) => [o.id, o.name] as const), ...users.map((u) => [u.id, nameOf(u.firstName, u.lastName, u.primaryEmail)] as const)];
  });
  return accounts.data ?? [];
}
