import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { useApi } from '../app/api';
import { CreateKey } from '../components/createkey';
import { Dialog } from '../components/dialog';
import { EditKey } from '../components/editkey';
import { Badge, Button, Card, Empty, Failure, Loading, Table, Td, Th } from '../components/ui';
import { limitsOf } from '../lib/keys';
import { formatAgo, formatDate } from '../lib/time';

type Key = Schemas['ApiKey'];

export default function Keys() {
  const { trivet, scope } = useApi();
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Key>();
  const [editing, setEditing] = useState<Key>();
  const keys = useInfiniteQuery({
    queryKey: ['keys', scope],
    initialPageParam: '',
    queryFn: ({ signal, pageParam }) => trivet.get('/api/v1/apiKeys', { query: { pageSize: 100, ...(pageParam && { pageToken: pageParam }) } }, { signal }),
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const all = keys.data?.pages.flatMap((page) => page.apiKeys) ?? [];
  return (
    <div className="grid gap-4 sm:gap-5">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <p className="text-sm text-mute">A key acts for the account that is selected above. Programs send it as a bearer token.</p>
        <Button kind="primary" onClick={() => setCreating(true)}><Plus size={16} aria-hidden /> Create key</Button>
      </div>
      <Card>
        {keys.isPending && <Loading label="Loading the keys" />}
        {keys.isError && <Failure error={keys.error} retry={() => void keys.refetch()} />}
        {keys.isSuccess && (all.length === 0 ? <Empty title="No API keys"><p>Create one for each program, so that you can revoke one without stopping the others.</p></Empty> : <KeyTable keys={all} edit={setEditing} revoke={setRevoking} />)}
        {keys.hasNextPage && <Button className="mt-3" disabled={keys.isFetchingNextPage} onClick={() => void keys.fetchNextPage()}>Show more</Button>}
      </Card>
      {creating && <CreateKey onClose={() => setCreating(false)} />}
      {editing && <EditKey apiKey={editing} onClose={() => setEditing(undefined)} />}
      {revoking && <Revoke apiKey={revoking} onClose={() => setRevoking(undefined)} />}
    </div>
  );
}

function KeyTable({ keys, edit, revoke }: { keys: Key[]; edit: (key: Key) => void; revoke: (key: Key) => void }) {
  const now = Date.now();
  return (
    <Table caption="API keys" head={<><Th>Name</Th><Th>State</Th><Th>May</Th><Th>Models</Th><Th>Limits</Th><Th>Last used</Th><Th>Created</Th><Th /></>}>
      {keys.map((key) => (
        <tr key={key.id}>
          <Td><span className="font-medium">{key.name}</span><code className="block text-xs text-mute">{key.prefix}…</code></Td>
          <Td wrap><State apiKey={key} now={now} /></Td>
          <Td wrap>{key.scopes.join(', ')}</Td>
          <Td wrap>{key.models.length ? key.models.join(', ') : 'all'}</Td>
          <Td wrap>{limitsOf(key)}</Td>
          <Td>{key.lastUseTime ? formatAgo(key.lastUseTime, now) : 'never'}</Td>
          <Td>{formatDate(key.createTime)}</Td>
          <Td right>{!key.revokeTime && <span className="flex flex-wrap justify-end gap-2">{!expired(key, now) && <Button aria-label={`Edit ${key.name}`} onClick={() => edit(key)}>Edit</Button>}<Button kind="danger" aria-label={`Revoke ${key.name}`} onClick={() => revoke(key)}>Revoke</Button></span>}</Td>
        </tr>
      ))}
    </Table>
  );
}

const expired = (key: Key, now: number): boolean => !!key.expireTime && new Date(key.expireTime).getTime() <= now;

function State({ apiKey: key, now }: { apiKey: Key; now: number }) {
  if (key.revokeTime) return <Badge tone="mute">revoked</Badge>;
  if (expired(key, now)) return <Badge tone="mute">expired</Badge>;
  if (key.disabledReason) return <span><Badge tone="warn">refused</Badge><TakeOver apiKey={key} /></span>;
  return <Badge tone="ok">{key.expireTime ? `until ${formatDate(key.expireTime)}` : 'active'}</Badge>;
}

/** A key whose maker has left works again once an admin answers for it. */
function TakeOver({ apiKey: key }: { apiKey: Key }) {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const takeOver = useMutation({
    mutationFn: () => trivet.post('/api/v1/apiKeys/{apiKeyId}:takeOver', { path: { apiKeyId: key.id } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['keys'] }),
  });
  if (key.disabledReason !== 'API_KEY_MAKER_LEFT') return <span className="block text-xs text-mute">{key.disabledReason}</span>;
  return (
    <span className="mt-1 block space-y-1 text-xs text-mute">
      <span className="block">The person who created it has left.</span>
      <Button disabled={takeOver.isPending} onClick={() => takeOver.mutate()}>Take over</Button>
      {takeOver.isError && <Failure error={takeOver.error} />}
    </span>
  );
}

function Revoke({ apiKey: key, onClose }: { apiKey: Key; onClose: () => void }) {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => trivet.delete('/api/v1/apiKeys/{apiKeyId}', { path: { apiKeyId: key.id } }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['keys'] });
      onClose();
    },
  });
  return (
    <Dialog title={`Revoke ${key.name}?`} onClose={onClose}>
      <p className="text-sm">Programs that use it are refused from now on, and so are the keys that it created. This cannot be undone.</p>
      {revoke.isError && <div className="mt-3"><Failure error={revoke.error} /></div>}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="danger" disabled={revoke.isPending} onClick={() => revoke.mutate()}>{revoke.isPending ? 'Revoking …' : 'Revoke'}</Button>
      </div>
    </Dialog>
  );
}
