import { useOrganization, useUser } from '@clerk/react';
import { useApiQuery, useMe } from './api';

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

/** The account's API keys by name, for those who may list them. */
export function useKeyNames(): { list: readonly (readonly [string, string])[]; name: (apiKeyId: string) => string } {
  const admin = useMe().data?.identity.admin ?? false;
  const keys = useApiQuery(['keyNames', admin], async (trivet, signal) => (admin ? (await trivet.get('/api/v1/apiKeys', { query: { pageSize: 500 } }, { signal })).apiKeys : []));
  const names = new Map((keys.data ?? []).map((key) => [key.id, key.name]));
  return { list: [...names], name: (id) => names.get(id) ?? id };
}
